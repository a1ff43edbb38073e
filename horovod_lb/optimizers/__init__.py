"""Optimizers for large-batch training, on `keras.ops`: they run on any Keras backend, with or without Horovod."""

from horovod_lb.optimizers.momentum import MomentumSGD

__all__ = ["MomentumSGD"]
