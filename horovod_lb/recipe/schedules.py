"""Schedules: the learning rate from the end of warmup on. A new one is a class and a line in the registry."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

from horovod_lb.errors import RecipeError
from horovod_lb.recipe.exact import ceil
from horovod_lb.recipe.timeline import Timeline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Course:
    """What a schedule runs over: from `peak`, on `timeline`, after `warmup_steps` (T_w) steps of warmup.

    `offset` is the step that the schedule counts from: 0 for the anchor `zero`, T_w for `after_warmup`.
    """

    peak: float
    timeline: Timeline
    warmup_steps: Fraction
    offset: Fraction


class Schedule(Protocol):
    """The rate of each step after warmup; both ways of asking give the same floats."""

    def rate(self, t: int) -> float:
        """The rate of step `t`."""

    def rates(self, start: int, stop: int) -> NDArray[np.float64]:
        """The rates of the steps start to stop - 1: float64[stop - start]."""

    def warnings(self) -> list[str]:
        """What looks like a mistake."""


class PiecewiseConstant:
    """`levels[i]` until the step `boundaries[i]`, then the next level."""

    def __init__(self, boundaries: list[int], levels: list[float], warnings: list[str] | None = None):
        self._boundaries, self._levels, self._warnings = boundaries, levels, warnings or []

    def rate(self, t: int) -> float:
        """The level of step `t`."""
        return self._levels[bisect_right(self._boundaries, t)]

    def rates(self, start: int, stop: int) -> NDArray[np.float64]:
        """The levels of the steps start to stop - 1."""
        import numpy as np

        positions = np.searchsorted(self._boundaries, np.arange(start, stop), side="right")
        return np.asarray(self._levels)[positions]

    def warnings(self) -> list[str]:
        """What looks like a mistake."""
        return self._warnings


Builder = Callable[[Mapping[str, Any], Course], Schedule]
_REGISTRY: dict[str, tuple[Builder, str]] = {}


def register(kind: str, *, anchor: str = "after_warmup") -> Callable[[Builder], Builder]:
    """Make a builder known under `kind`; `anchor` is where its time begins unless a recipe says otherwise."""

    def known(builder: Builder) -> Builder:
        _REGISTRY[kind] = (builder, anchor)
        return builder

    return known


def kinds() -> tuple[str, ...]:
    """The kinds of schedule there are."""
    return tuple(_REGISTRY)


def build(options: Mapping[str, Any], peak: float, timeline: Timeline, warmup_steps: Fraction) -> Schedule:
    """The schedule that a recipe's `schedule:` section asks for. RecipeError: an unknown kind."""
    kind = options["kind"]
    if kind not in _REGISTRY:
        raise RecipeError(
            f"recipe.schedule.kind: {kind!r} is not one of {', '.join(_REGISTRY)}", key="recipe.schedule.kind"
        )
    builder, default_anchor = _REGISTRY[kind]
    anchor = options.get("anchor") or default_anchor
    offset = warmup_steps if anchor == "after_warmup" else Fraction(0)
    return builder(options, Course(peak, timeline, warmup_steps, offset))


@register("constant")
def constant(options: Mapping[str, Any], course: Course) -> Schedule:
    """The peak rate to the end."""
    return PiecewiseConstant([], [course.peak])


@register("step", anchor="zero")
def step(options: Mapping[str, Any], course: Course) -> Schedule:
    """The peak rate times `factor` to the number of epochs e in `epochs` with t >= e * S."""
    epochs, factor = sorted(options["epochs"]), options["factor"]
    boundaries = [ceil(course.timeline.steps(epoch) + course.offset) for epoch in epochs]
    levels = [course.peak * factor**passed for passed in range(len(epochs) + 1)]
    warnings = []
    for epoch, boundary in zip(epochs, boundaries, strict=True):
        if boundary >= course.timeline.total_steps:
            warnings.append(
                f"recipe.schedule.epochs: the decay at epoch {epoch:g} never acts, the run ends after "
                f"{course.timeline.epochs:g} epochs"
            )
        elif boundary < course.warmup_steps:
            warnings.append(
                f"recipe.schedule.epochs: the decay at epoch {epoch:g} falls into the warmup, which ends at "
                f"epoch {float(course.warmup_steps / course.timeline.pace):g}: the peak is never reached"
            )
    return PiecewiseConstant(boundaries, levels, warnings)
