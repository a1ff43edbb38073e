"""Statistics over seeds: mean, standard deviation and Student's t interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """`n` values; `mean` is None for n = 0, `std` (ddof 1) and the 95 % interval `low`..`high` for n < 2."""

    n: int
    mean: float | None
    std: float | None
    low: float | None
    high: float | None


def summarize(values: Sequence[float]) -> Summary:
    """The summary of independent values; for differences of pairs this is the paired t interval.

    The interval is mean ± t·std/√n with the (1 + 0.95)/2 quantile t of Student's distribution of n − 1
    degrees of freedom.
    """
    n = len(values)
    if n == 0:
        return Summary(0, None, None, None, None)
    mean = math.fsum(values) / n
    if n == 1:
        return Summary(1, mean, None, None, None)
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = student_quantile(n - 1) * std / math.sqrt(n)
    return Summary(n, mean, std, mean - half, mean + half)


def student_quantile(degrees: int) -> float:
    """The two-sided 95 % quantile of Student's t distribution with `degrees` degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + CONFIDENCE) / 2))


def binomial_tail(successes: int, trials: int, probability: float) -> float:
    """P(X >= successes) for X binomial with `trials` trials of `probability`."""
    from scipy.special import bdtrc

    if not 0 < successes <= trials:
        return 1.0 if successes <= 0 else 0.0
    return float(bdtrc(successes - 1, trials, probability))
