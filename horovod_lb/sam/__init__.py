"""Sharpness-aware minimization (Foret et al. 2021): the gradient is taken at w + ε, and the step from w."""

from horovod_lb.sam.model import SAM
from horovod_lb.sam.perturbation import Ascent, ascent, perturbation

__all__ = ["SAM", "Ascent", "ascent", "perturbation"]
