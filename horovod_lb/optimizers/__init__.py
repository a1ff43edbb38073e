"""Optimizers for large-batch training, on `keras.ops`: any Keras backend, with or without Horovod."""

from horovod_lb.optimizers.exclusion import variables_of
from horovod_lb.optimizers.lamb import LAMB
from horovod_lb.optimizers.lars import LARS
from horovod_lb.optimizers.layerwise import LayerWise
from horovod_lb.optimizers.momentum import MomentumSGD

__all__ = ["LAMB", "LARS", "LayerWise", "MomentumSGD", "variables_of"]
