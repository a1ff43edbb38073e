"""The criteria of docs/tables.md, each at its boundary."""

from __future__ import annotations

import math
from itertools import accumulate

import pytest

from horovod_lb.analysis.outcome import classify, is_chance, is_unstable


def tails(examples: int, probability: float) -> list[float]:
    """P(at least k) for every k, summed from the top over logarithms of factorials, independent of scipy."""
    log_p, log_q, log_n = math.log(probability), math.log1p(-probability), math.lgamma(examples + 1)
    mass = [
        math.exp(
            log_n - math.lgamma(k + 1) - math.lgamma(examples - k + 1) + k * log_p + (examples - k) * log_q
        )
        for k in range(examples + 1)
    ]
    return list(accumulate(reversed(mass)))[::-1]


@pytest.mark.parametrize(
    ("classes", "examples", "last"), [(10, 357, 63), (10, 10_000, 1301), (1000, 5_000, None), (2, 200, None)]
)
def test_chance_ends_where_luck_becomes_rarer_than_one_in_a_thousand(
    classes: int, examples: int, last: int | None
) -> None:
    first = next(k for k, tail in enumerate(tails(examples, 1.2 / classes)) if tail <= 0.001)
    assert last is None or first == last + 1  # the numbers of docs/tables.md
    assert is_chance((first - 1) / examples, classes=classes, examples=examples)
    assert not is_chance(first / examples, classes=classes, examples=examples)


def test_a_network_that_always_says_one_is_at_chance_on_mnist() -> None:
    assert is_chance(0.1135, classes=10, examples=10_000)
    assert not is_chance(0.20, classes=10, examples=10_000)


def test_unstable_needs_a_drop_of_five_percent_and_of_three_standard_errors() -> None:
    # 5 % of 0.9 is 0.045; with 10,000 examples three standard errors are about 0.0128.
    assert is_unstable(0.854, 0.9, examples=10_000)
    assert not is_unstable(0.856, 0.9, examples=10_000)
    # With 100 examples three standard errors are 3·√(2·0.875·0.125/100) = 0.1403.
    assert not is_unstable(0.80, 0.94, examples=100)
    assert is_unstable(0.80, 0.955, examples=100)
    assert is_unstable(0.854, 0.9, examples=None)


@pytest.mark.parametrize(
    ("final", "best", "classes", "examples", "outcome"),
    [
        (0.98, 0.985, 10, 357, "ok"),
        (0.10, 0.10, 10, 357, "chance"),
        (0.10, 0.90, 10, 357, "chance"),
        (0.50, 0.90, 10, 357, "unstable"),
        (0.10, 0.10, None, 357, "ok"),
        (0.10, 0.10, 10, None, "ok"),
        (0.60, 0.60, 1, 100, "ok"),
        (None, None, 10, 357, "ok"),
    ],
)
def test_classify(
    final: float | None, best: float | None, classes: int | None, examples: int | None, outcome: str
) -> None:
    assert classify(final, best, classes=classes, examples=examples) == outcome
