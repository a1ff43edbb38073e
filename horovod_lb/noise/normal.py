"""Gaussian noise as a function of seed, index and step, on `keras.random`: any Keras backend."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

WEIGHTS, GRADIENTS = 1, 2
"""What the noise is for: no two uses of one seed share a stream."""


class _Key(keras.random.SeedGenerator):
    """A seed that is a tensor: `keras.random` takes numbers and generators alone; this has no state."""

    def __init__(self, words: Any) -> None:
        self._words = words

    def next(self, ordered: bool = True) -> Any:
        return self._words


def normal(shape: Any, seed: int, use: int, index: int, step: Any) -> Any:
    """Standard normal numbers, float32 of `shape`: a function of the other arguments and of nothing else.

    Args:
        shape: static.
        seed: any whole number >= 0.
        use: what the noise is for, a whole number >= 0.
        index: of the tensor among those that get noise in a step.
        step: t, a whole number in [0, 2³¹), also as a tensor.
    """
    word = int(np.random.SeedSequence([seed, use, index]).generate_state(1)[0] >> np.uint32(1))
    words = ops.stack([ops.cast(word, "uint32"), ops.cast(step, "uint32")])
    return keras.random.normal(tuple(shape), dtype="float32", seed=_Key(words))


def deviation(stddev: float, decay: float, step: Any) -> Any:
    """σ_t = σ/(1 + t)^{γ/2}, a float32 scalar, so that σ_t² = σ²/(1 + t)^γ.

    Neelakantan et al., "Adding gradient noise improves learning for very deep networks" (2015), eq. 1, with
    η = σ² and γ = `decay`.
    """
    return stddev * ops.power(1.0 + ops.cast(step, "float32"), -0.5 * decay)
