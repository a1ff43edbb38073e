"""Random numbers without a state: a hash of what they are for.

The same key has the same number on any rank, in any order of asking and after a resume.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def numbers(*key: int | NDArray[np.int64] | NDArray[np.uint64]) -> NDArray[np.uint64]:
    """64 random bits for each key: uint64 in the shape to which the parts of the key broadcast, at least [1].

    h = 0, then for each part w of the key h = f((h xor w) + γ), with f the output function and γ the
    increment of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
    Parts are taken modulo 2^64.
    """
    state = np.zeros(1, np.uint64)
    for word in key:
        bits = np.atleast_1d(np.asarray(word % 2**64 if isinstance(word, int) else word)).astype(np.uint64)
        state = _mixed((state ^ bits) + _GAMMA)
    return state


def below(bound: int, random: NDArray[np.uint64], shift: int) -> NDArray[np.int64]:
    """Whole numbers from 0 to `bound` - 1, from the 21 bits of `random` above the lowest `shift`.

    For small bounds: none is likelier than another by more than bound / 2^21.
    """
    bits = (random >> np.uint64(shift)) & np.uint64(2**21 - 1)
    return ((bits * np.uint64(bound)) >> np.uint64(21)).astype(np.int64)


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
