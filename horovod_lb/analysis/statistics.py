"""Statistics over seeds: mean, standard deviation, Student's t, Welch's and bootstrap intervals.

Why these, and what they are worth for a handful of seeds: docs/tables.md, "Intervals".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.bootstrap import interval_of_difference, interval_of_mean

if TYPE_CHECKING:
    from typing import TypeAlias

    Interval: TypeAlias = tuple[float | None, float | None]

CONFIDENCE = 0.95
COLUMNS = ("n", "mean", "std", "ci95_low", "ci95_high", "boot95_low", "boot95_high")


@dataclass(frozen=True)
class Summary:
    """`n` values; `mean` is None for n = 0; `std` (ddof 1), Student's 95 % interval `low`..`high` and the
    bootstrap's `boot_low`..`boot_high` are None for n < 2.
    """

    n: int
    mean: float | None = None
    std: float | None = None
    low: float | None = None
    high: float | None = None
    boot_low: float | None = None
    boot_high: float | None = None

    def columns(self, prefix: str = "") -> dict[str, Any]:
        """The cells of a table: `n`, `mean`, `std`, `ci95_low` ..., each name after `prefix`."""
        values = (self.n, self.mean, self.std, self.low, self.high, self.boot_low, self.boot_high)
        return {prefix + name: value for name, value in zip(COLUMNS, values, strict=True)}


def summarize(values: Sequence[float]) -> Summary:
    """The summary of independent values; for differences of pairs this is the paired t interval.

    The interval is mean ± t·std/√n with the (1 + 0.95)/2 quantile t of Student's distribution of n − 1
    degrees of freedom; the bootstrap's is that of percentiles, see `bootstrap.interval_of_mean`.
    """
    n = len(values)
    if n == 0:
        return Summary(0)
    mean = math.fsum(values) / n
    if n == 1:
        return Summary(1, mean)
    std = _std(values, mean)
    half = student_quantile(n - 1) * std / math.sqrt(n)
    return Summary(n, mean, std, mean - half, mean + half, *interval_of_mean(values))


def welch(here: Sequence[float], there: Sequence[float]) -> tuple[Interval, Interval]:
    """95 % intervals of mean(here) − mean(there) for independent values: Welch's (1947) and the bootstrap's.

    With s² the variances (ddof 1): difference ± t·√(s₁²/n₁ + s₂²/n₂), t of Student's distribution with
    (s₁²/n₁ + s₂²/n₂)² / ((s₁²/n₁)²/(n₁ − 1) + (s₂²/n₂)²/(n₂ − 1)) degrees of freedom. (None, None) each where
    one side has fewer than two values.
    """
    if min(len(here), len(there)) < 2:
        return (None, None), (None, None)
    means = [math.fsum(values) / len(values) for values in (here, there)]
    parts = [_std(values, mean) ** 2 / len(values) for values, mean in zip((here, there), means, strict=True)]
    difference, error = means[0] - means[1], sum(parts)
    half = 0.0
    if error > 0:
        # Shares of the error, not its squares: those of tiny variances would be 0.
        shares = [part / error for part in parts]
        degrees = 1 / sum(
            share**2 / (len(values) - 1) for share, values in zip(shares, (here, there), strict=True)
        )
        half = student_quantile(degrees) * math.sqrt(error)
    return (difference - half, difference + half), interval_of_difference(here, there)


def student_quantile(degrees: float) -> float:
    """The two-sided 95 % quantile of Student's t distribution with `degrees` degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + CONFIDENCE) / 2))


def binomial_tail(successes: int, trials: int, probability: float) -> float:
    """P(X >= successes) for X binomial with `trials` trials of `probability`."""
    from scipy.special import bdtrc

    if not 0 < successes <= trials:
        return 1.0 if successes <= 0 else 0.0
    return float(bdtrc(successes - 1, trials, probability))


def _std(values: Sequence[float], mean: float) -> float:
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
