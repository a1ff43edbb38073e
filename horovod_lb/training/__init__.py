"""Training of one run: the step, the loop, evaluation, checkpoints, callbacks and the job contract."""
