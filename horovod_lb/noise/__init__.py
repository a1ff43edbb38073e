"""Noise on activations, weights, gradients and labels, as functions of a seed and the step."""

from horovod_lb.noise.activations import ActivationNoise
from horovod_lb.noise.gradients import GradientNoise
from horovod_lb.noise.labels import noisy_labels
from horovod_lb.noise.normal import deviation, normal
from horovod_lb.noise.weights import WeightNoise

__all__ = ["ActivationNoise", "GradientNoise", "WeightNoise", "deviation", "noisy_labels", "normal"]
