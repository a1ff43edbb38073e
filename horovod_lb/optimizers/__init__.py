"""Optimizers for large-batch training, on `keras.ops`: any Keras backend, with or without Horovod."""

from horovod_lb.optimizers.momentum import MomentumSGD

__all__ = ["MomentumSGD"]
