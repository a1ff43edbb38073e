"""Laws in the batch size: a power law, and the epochs that a target takes.

Both are fitted by least squares on logarithms: the spread of a rate, a warmup or a number of epochs is in
proportion to it, and batch sizes span orders of magnitude.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.statistics import student_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_EXACT = 1e-14
"""A mean square residual of logarithms below this is round-off: the values lie on the curve."""
_FAR = math.log(1e9)
"""How far outside of the batch sizes, as a logarithm, a critical batch size is as good as 0 or infinite."""


@dataclass(frozen=True)
class PowerLaw:
    """y = factor·x^exponent, and the 95 % interval `low`..`high` of the exponent (None for n < 3) from `n`
    values.
    """

    factor: float
    exponent: float
    low: float | None
    high: float | None
    n: int

    def __call__(self, x: float) -> float:
        """The law's y at `x` > 0."""
        return float(self.factor * x**self.exponent)


def power_law(x: Sequence[Any], y: Sequence[Any]) -> PowerLaw | None:
    """The power law through pairs of positive numbers; other pairs have no logarithm and are left out.

    Least squares of log y on log x; Student's t interval of the slope with n − 2 degrees of freedom. None for
    fewer than two different x.
    """
    pairs = _positive(x, y)
    if len({a for a, _ in pairs}) < 2:
        return None
    n = len(pairs)
    logs = [(math.log(a), math.log(b)) for a, b in pairs]
    mean_x, mean_y = (math.fsum(values) / n for values in zip(*logs, strict=True))
    square = math.fsum((a - mean_x) ** 2 for a, _ in logs)
    exponent = math.fsum((a - mean_x) * (b - mean_y) for a, b in logs) / square
    factor = math.exp(mean_y - exponent * mean_x)
    if n < 3:
        return PowerLaw(factor, exponent, None, None, n)
    residual = math.fsum((b - mean_y - exponent * (a - mean_x)) ** 2 for a, b in logs)
    half = student_quantile(n - 2) * math.sqrt(residual / (n - 2) / square)
    return PowerLaw(factor, exponent, exponent - half, exponent + half, n)


@dataclass(frozen=True)
class CriticalBatch:
    """E(B) = minimum·(1 + B/critical): epochs to a target by batch size B, from `n` values.

    `minimum` epochs are what the smallest batches take; at B = `critical` it is twice that. Intervals are of
    95 %. An interval is open where the values do not bound it: an upper end of inf where the epochs do not
    demonstrably rise with B, a lower end of 0 where they may rise in proportion to B. `critical` itself is
    inf or 0 where that fits best.
    """

    minimum: float
    minimum_low: float
    minimum_high: float
    critical: float
    critical_low: float
    critical_high: float
    n: int

    def __call__(self, batch_size: float) -> float:
        """The epochs at a batch size; nan where `critical` is 0, for then the minimum is not known."""
        return self.minimum * (1 + batch_size / self.critical) if self.critical else math.nan

    @property
    def bounded(self) -> bool:
        """Whether both ends of the critical batch size's interval are known."""
        return self.critical_low > 0 and math.isfinite(self.critical_high)

    def least_steps(self, examples: int) -> float:
        """S_min = N·minimum/critical, the steps that the largest batches would take, for N training
        examples; nan where `critical` is 0.
        """
        return examples * self.minimum / self.critical if self.critical else math.nan


def epochs_by_batch(
    batch_sizes: Sequence[Any], epochs: Sequence[Any], *, resolution: float = 0.0
) -> CriticalBatch | None:
    """Fits E(B) = E_min·(1 + B/B_crit), the shape of McCandlish et al. 2018: for steps S(B) = N·E(B)/B it
    is S = S_min·(1 + B_crit/B), and both are (S/S_min − 1)·(E/E_min − 1) = 1.

    Least squares of log E. Intervals by profile: a value of B_crit (of E_min) is in it where the least sum of
    squares that is left with it exceeds the least of all by no more than t²·s², with s² = that least/(n − 2)
    and t the quantile of Student's distribution with n − 2 degrees of freedom. Where the epochs are known to
    `resolution` only (1: whole epochs), s² is at least what rounding makes, the mean of
    resolution²/(12·E²). A profile, unlike an error bar from the curvature, is not symmetric and can be open:
    over batch sizes far below the critical one E is flat, and any larger B_crit would do. Give one value a
    batch size (the mean or median over its seeds): seeds tell nothing of how far the curve is from the right
    one.

    None for fewer than three different batch sizes: two numbers are fitted, and one must be left to judge by.
    """
    pairs = _positive(batch_sizes, epochs)
    if len({batch for batch, _ in pairs}) < 3:
        return None
    import numpy as np

    curve = _Curve(*(np.log(np.array(values, float)) for values in zip(*pairs, strict=True)))
    rounding = sum(resolution**2 / 12 / value**2 for _, value in pairs) / len(pairs)
    return curve.fit(rounding)


@dataclass(frozen=True)
class _Curve:
    """log E against log B."""

    log_batch: NDArray[np.float64]
    log_epochs: NDArray[np.float64]

    def fit(self, variance: float) -> CriticalBatch:
        """The curve with the least sum of squares; `variance` is the least that a value of log E has."""
        low, high = float(self.log_batch.min()) - _FAR, float(self.log_batch.max()) + _FAR
        best = _least(self.left, low, high)
        n = len(self.log_batch)
        least = self.left(best)
        # Sums of squares near 0 are round-off: the values lie on the curve.
        spread = max(0.0 if least < n * _EXACT else least / (n - 2), variance)
        limit = least + student_quantile(n - 2) ** 2 * spread
        critical = _limits(low, best, high)
        minimum = self.intercept(best)
        if spread:
            ends = tuple(_limits(low, end, high) for end in _interval(self.left, best, limit, low, high))
            bottom, top = self._minimum_interval(minimum, limit, low, high)
        else:
            ends, bottom, top = (critical, critical), minimum, minimum
        return CriticalBatch(
            minimum=math.exp(minimum) if critical else 0.0,
            minimum_low=math.exp(bottom) if ends[0] else 0.0,
            minimum_high=math.exp(top) if critical or spread else 0.0,
            critical=critical,
            critical_low=ends[0],
            critical_high=ends[1],
            n=n,
        )

    def shape(self, log_critical: float) -> NDArray[np.float64]:
        """log(1 + B/B_crit)."""
        import numpy as np

        return np.logaddexp(0.0, self.log_batch - log_critical)

    def intercept(self, log_critical: float) -> float:
        """log E_min that fits best with this B_crit."""
        return float((self.log_epochs - self.shape(log_critical)).mean())

    def left(self, log_critical: float) -> float:
        """The sum of squares that is left with this B_crit and the best E_min."""
        rest = self.log_epochs - self.shape(log_critical)
        return float(((rest - rest.mean()) ** 2).sum())

    def _minimum_interval(self, minimum: float, limit: float, low: float, high: float) -> tuple[float, float]:
        def left(log_minimum: float) -> float:
            def with_critical(log_critical: float) -> float:
                rest = self.log_epochs - log_minimum - self.shape(log_critical)
                return float((rest**2).sum())

            return with_critical(_least(with_critical, low, high))

        return _interval(left, minimum, limit, minimum - _FAR, minimum + _FAR)


def _limits(low: float, log_critical: float, high: float) -> float:
    """The critical batch size; 0 and inf at the ends of the range, where it cannot be told from them."""
    return (
        0.0 if log_critical <= low + 1 else math.inf if log_critical >= high - 1 else math.exp(log_critical)
    )


def _interval(
    function: Callable[[float], float], best: float, limit: float, low: float, high: float
) -> tuple[float, float]:
    """Where `function`, least at `best`, rises above `limit` on either side; `low` or `high` where it does
    not.
    """
    return _crossing(function, best, low, limit), _crossing(function, best, high, limit)


def _crossing(function: Callable[[float], float], inside: float, outside: float, limit: float) -> float:
    if function(outside) <= limit:
        return outside
    if function(inside) >= limit:  # by round-off
        return inside
    from scipy.optimize import brentq

    return float(brentq(lambda x: function(x) - limit, inside, outside, xtol=1e-10))


def _least(function: Callable[[float], float], low: float, high: float) -> float:
    """Where `function` is least: the best of a grid, made finer between its neighbours."""
    import numpy as np
    from scipy.optimize import minimize_scalar

    grid = np.linspace(low, high, 60)
    best = int(np.argmin([function(x) for x in grid]))
    around = (float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)]))
    found = minimize_scalar(function, bounds=around, method="bounded", options={"xatol": 1e-10})
    return min((float(found.x), float(grid[best])), key=function)


def _positive(x: Sequence[Any], y: Sequence[Any]) -> list[tuple[float, float]]:
    """The pairs of positive, finite numbers, NumPy's as well."""
    pairs = (
        (float(a), float(b)) for a, b in zip(x, y, strict=True) if isinstance(a, Real) and isinstance(b, Real)
    )
    return [(a, b) for a, b in pairs if 0 < a < math.inf and 0 < b < math.inf]
