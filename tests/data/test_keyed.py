"""Numbers from keys, against SplitMix64 written out here, its published numbers and a chi-square table."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from horovod_lb.data import keyed

words = st.integers(0, 2**64 - 1)
MASK = 2**64 - 1


def output(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def test_one_word_is_the_first_number_of_splitmix64() -> None:
    """The generator's published first numbers for the seeds 0 and 1234567."""
    assert keyed.numbers(0).tolist() == [0xE220A8397B1DCDAF]
    assert keyed.numbers(1234567).tolist() == [6457827717110365317]


@given(words, words, words)
def test_a_key_is_hashed_word_by_word(a: int, b: int, c: int) -> None:
    state = 0
    for word in (a, b, c):
        state = output(((state ^ word) + 0x9E3779B97F4A7C15) & MASK)
    assert keyed.numbers(a, np.array([b], np.uint64), c).tolist() == [state]


def test_arrays_are_as_one_key_at_a_time() -> None:
    epochs, examples = np.array([0, 0, 7, 2**40]), np.array([5, 6, 5, 0])
    found = keyed.numbers(3, epochs, examples)
    single = [keyed.numbers(3, int(e), int(i))[0] for e, i in zip(epochs, examples, strict=True)]
    assert found.dtype == np.uint64 and found.tolist() == single
    assert len(keyed.numbers(3, epochs[:0], examples[:0])) == 0


def test_keys_do_not_meet() -> None:
    grid = np.arange(40)
    found = keyed.numbers(*np.meshgrid(grid, grid, grid))
    assert len(np.unique(found)) == 40**3
    assert keyed.numbers(1, 2) != keyed.numbers(2, 1) and keyed.numbers(-1) == keyed.numbers(2**64 - 1)


def test_numbers_below_a_bound_are_even_and_independent() -> None:
    """Chi-square at 0.1 %: 26.1 with 8 degrees of freedom, 124.8 for pairs with 80."""
    random = keyed.numbers(11, np.arange(81_000))
    a, b = keyed.below(9, random, 0), keyed.below(9, random, 21)
    for values in (a, b):
        counts = np.bincount(values, minlength=9)
        assert len(counts) == 9 and ((counts - 9000) ** 2 / 9000).sum() < 26.1
    pairs = np.bincount(9 * a + b, minlength=81)
    assert ((pairs - 1000) ** 2 / 1000).sum() < 124.8
    assert keyed.below(5, np.array([0, 2**21 - 1, 2**21], np.uint64), 0).tolist() == [0, 4, 0]
