"""Build, cache and prove the Horovod wheel, and set up the environment it lives in; standard library only.

`python -m horovod_lb.wheel` builds Horovod for the running environment, or takes it from the cache;
`python -m horovod_lb.wheel.environment` makes the whole virtual environment first; `make` calls it.
"""
