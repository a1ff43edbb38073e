"""Smooth schedules: polynomial, cosine with and without restarts, cyclical, exponential.

Time runs from x = 0 where the schedule begins (step 0 or the end of warmup, see `anchor`) to x = 1 at step T,
the first after the run; a decay stays from there on.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from horovod_lb.recipe.exact import ceil, exact
from horovod_lb.recipe.schedules import Course, PiecewiseConstant, Schedule, register

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Curve(ABC):
    """A rate that follows a formula in the step; one step or many are computed by the same code."""

    def __init__(self, course: Course):
        self.peak = course.peak
        self.course = course
        self.offset = float(course.offset)
        self.length = float(course.timeline.total_steps - course.offset)

    @abstractmethod
    def values(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """The rates at the times `t` in steps, float64[n], not before the offset."""

    def rate(self, t: int) -> float:
        """The rate of step `t`."""
        return float(self.rates(t, t + 1)[0])

    def rates(self, start: int, stop: int) -> NDArray[np.float64]:
        """The rates of the steps start to stop - 1."""
        import numpy as np

        return self.values(np.arange(start, stop, dtype=np.float64))

    def warnings(self) -> list[str]:
        """A rate that is not the peak where warmup hands over, although the ramp led there."""
        import numpy as np

        steps = self.course.warmup_steps
        if not steps or steps >= self.course.timeline.total_steps:
            return []
        first = float(self.values(np.array([float(steps)]))[0])
        if math.isclose(first, self.peak, rel_tol=0.01):
            return []
        return [
            f"recipe.schedule: jumps from {self.peak:g} to {first:g} where the warmup ends; a decay that "
            "begins there has anchor: after_warmup, and a cycle begins at its low"
        ]

    def progress(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """x, from 0 to 1, at the times `t`."""
        import numpy as np

        return np.clip((t - self.offset) / self.length, 0.0, 1.0) if self.length > 0 else np.ones_like(t)


class Polynomial(Curve):
    """end + (peak - end) * (1 - x)^power."""

    def __init__(self, course: Course, power: float, end: float):
        super().__init__(course)
        self._power, self._end = power, end

    def values(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Curve`."""
        return self._end + (self.peak - self._end) * (1.0 - self.progress(t)) ** self._power


class Cosine(Curve):
    """end + (peak - end) * (1 + cos(pi y)) / 2, y from 0 to 1 in each cycle (Loshchilov and Hutter 2017).

    `firsts` and `lengths` give the cycles in exact steps.
    """

    def __init__(self, course: Course, end: float, firsts: list[Fraction], lengths: list[Fraction]):
        super().__init__(course)
        self._end = end
        self._steps = [ceil(first) for first in firsts]
        self._firsts = [float(first) for first in firsts]
        self._lengths = [float(length) for length in lengths]

    def values(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Curve`."""
        import numpy as np

        if self.length <= 0:
            return np.full_like(t, self._end)
        cycle = np.maximum(np.searchsorted(self._steps, t, side="right") - 1, 0)
        since = t - np.asarray(self._firsts)[cycle]
        y: NDArray[np.float64] = np.clip(since / np.asarray(self._lengths)[cycle], 0.0, 1.0)
        return self._end + (self.peak - self._end) * (0.5 * (1.0 + np.cos(np.pi * y)))


class Triangular(Curve):
    """low -> high -> low over each cycle, by straight lines (Smith 2017)."""

    def __init__(self, course: Course, low: float, high: float, cycle: float):
        super().__init__(course)
        self._low, self._high, self._cycle = low, high, cycle

    def values(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Curve`."""
        import numpy as np

        phase: NDArray[np.float64] = (t - self.offset) / self._cycle % 1.0
        return self._low + (self._high - self._low) * (1.0 - np.abs(2.0 * phase - 1.0))


class Exponential(Curve):
    """peak * factor^((t - offset) / period)."""

    def __init__(self, course: Course, factor: float, period: float):
        super().__init__(course)
        self._factor, self._period = factor, period

    def values(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Curve`."""
        import numpy as np

        return self.peak * np.power(self._factor, (t - self.offset) / self._period)


@register("polynomial")
def polynomial(options: Mapping[str, Any], course: Course) -> Schedule:
    """From the peak to `end` with the power of what is left of the run; power 1 is a straight line."""
    return Polynomial(course, options["power"], options["end"])


@register("cosine")
def cosine(options: Mapping[str, Any], course: Course) -> Schedule:
    """From the peak to `end` along half a cosine."""
    return Cosine(course, options["end"], [course.offset], [course.timeline.total_steps - course.offset])


@register("cosine_restarts")
def cosine_restarts(options: Mapping[str, Any], course: Course) -> Schedule:
    """`cycles` half cosines, each from the peak to `end`, each `mult` times as long as the one before."""
    total = course.timeline.total_steps - course.offset
    mult = exact(options["mult"])
    weights = [mult**cycle for cycle in range(options["cycles"])]
    lengths = [total * weight / sum(weights) for weight in weights]
    firsts = [course.offset + sum(lengths[:cycle], Fraction(0)) for cycle in range(len(lengths))]
    return Cosine(course, options["end"], firsts, lengths)


@register("cyclical", anchor="zero")
def cyclical(options: Mapping[str, Any], course: Course) -> Schedule:
    """Between the rates `low` and `high` (default: the peak), a cycle in `cycle_epochs`."""
    high = course.peak if options["high"] is None else options["high"]
    return Triangular(course, options["low"], high, float(course.timeline.steps(options["cycle_epochs"])))


@register("exponential")
def exponential(options: Mapping[str, Any], course: Course) -> Schedule:
    """Times `factor` every `every_epochs`, smoothly or (`staircase`) all at once."""
    period, factor = course.timeline.steps(options["every_epochs"]), options["factor"]
    if not options["staircase"]:
        return Exponential(course, factor, float(period))
    count = ceil((course.timeline.total_steps - course.offset) / period)
    boundaries = [ceil(course.offset + passed * period) for passed in range(1, count + 1)]
    levels = [course.peak * factor**passed for passed in range(count + 1)]
    return PiecewiseConstant(boundaries, levels)
