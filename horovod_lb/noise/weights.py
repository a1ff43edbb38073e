"""Gaussian noise on weights, for the time that a gradient is taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from horovod_lb.noise.normal import WEIGHTS, normal
from horovod_lb.parameters import not_negative, whole


class WeightNoise:
    """Moves variables from w to w + n, n ~ N(0, σ²) element by element, and back to the bit.

        noise = WeightNoise(model.trainable_variables, 0.01, seed=1)
        noise.move(step)
        ...                        # the gradient
        noise.restore()            # then the optimizer's step

    The noise is a function of seed and step: the same on every rank, and for all parts of a batch.

    Args:
        variables: any; the noise is drawn in float32 and added in their dtype.
        stddev: σ >= 0.
        seed: a whole number >= 0.

    Attributes:
        saved: w, while the variables are at w + n.
    """

    def __init__(self, variables: Sequence[Any], stddev: float, seed: int = 0) -> None:
        self._variables = list(variables)
        self.stddev, self.seed = not_negative("stddev", stddev), whole("seed", seed, 0)
        self.saved = [
            keras.Variable(ops.zeros(v.shape, v.dtype), trainable=False, dtype=v.dtype) for v in variables
        ]

    def move(self, step: Any) -> None:
        """To w + n of `step`, a whole number >= 0, also as a tensor."""
        for index, (variable, saved) in enumerate(zip(self._variables, self.saved, strict=True)):
            saved.assign(variable)
            noise = self.stddev * normal(variable.shape, self.seed, WEIGHTS, index, step)
            variable.assign_add(ops.cast(noise, variable.dtype))

    def restore(self) -> None:
        """Back to w: saved values, since w + n − n would not be w."""
        for variable, saved in zip(self._variables, self.saved, strict=True):
            variable.assign(saved)
