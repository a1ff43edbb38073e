"""The regimes of You et al. 2020 (Definitions 2.1 to 2.3), as brackets of their boundaries.

A baseline of batch size B_0 and rate η reaches the accuracy A and the validation loss ξ in ρ epochs.

- Below B_L, batch size B at the rate B·η/B_0 reaches 99.5 % of A or more and 1.2 ξ or less in ρ epochs.
- Above B_H, nothing that was tried reaches 99.5 % of A in ρ epochs.
- B_F is the number of training examples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from horovod_lb.analysis.points import BATCH_AXES, LABEL, Point
from horovod_lb.analysis.regimes.baseline import Baseline, about
from horovod_lb.analysis.regimes.batches import by_batch_size
from horovod_lb.analysis.regimes.judged import ACCURACY, LOSS, Judged, judge
from horovod_lb.analysis.rows import is_finite
from horovod_lb.analysis.table import sort_key

if TYPE_CHECKING:
    from horovod_lb.analysis.results import Results

_SAME_RATE = 1e-3
"""How far, relatively, a peak rate may be from B·η/B_0: rates in study files are rounded."""


@dataclass(frozen=True)
class Boundary:
    """A boundary between `low`, where the criterion holds, and `high`, where it does not (None: everything
    that was tried holds). `judged` has the batch sizes from the baseline's up, without it.
    """

    name: str
    criterion: str
    low: int
    high: int | None
    judged: tuple[Judged, ...]
    notes: tuple[str, ...] = ()

    @property
    def monotone(self) -> bool:
        """Whether the criterion never holds at a batch size above one where it does not."""
        holds = [judged.holds for judged in self.judged]
        return holds == sorted(holds, reverse=True)

    def at(self, batch_size: int | None) -> Judged | None:
        """What was judged at a batch size; None for the baseline's, where it holds by definition."""
        return next((judged for judged in self.judged if judged.batch_size == batch_size), None)

    @property
    def confidence(self) -> float | None:
        """At least how sure both ends are together: each may be wrong (Bonferroni). None where neither was
        judged.
        """
        ends = [judged for judged in (self.at(self.low), self.at(self.high)) if judged is not None]
        if not ends:
            return None
        wrong = 0.0
        for judged in ends:
            if judged.confidence is None:
                return None
            wrong += 1 - judged.confidence
        return max(0.0, 1 - wrong)


def large_batch(results: Results, base: Baseline) -> Boundary:
    """The bracket of B_L (Definition 2.1): all batch sizes up to `low` hold, `high` is the first that does
    not.

    Judged are the runs with the baseline's recipe in all but the batch size, its groups and the rate, which
    is B·η/B_0: another warmup or optimizer is a technique, and belongs to B_H.
    """
    judged, notes = [], []
    rate = base.rate
    for size, points in _above(results, base):
        if not is_finite(rate):
            notes.append("the baseline's peak rate is not known, so no rate can be said to scale linearly")
            break
        scaled = rate * size / base.batch_size
        same = [point for point in points if _is_scaled(point, base, scaled, results.axes)]
        found = judge(size, same, base, with_loss=True)
        if found is not None:
            judged.append(found)
    if not judged and not notes:
        notes.append(
            "no finished run has a larger batch size, its rate scaled linearly, and else the same recipe"
        )
    low, high = base.batch_size, None
    for found in judged:
        if not found.holds:
            high = found.batch_size
            break
        low = found.batch_size
    criterion = f"linear scaling reaches {100 * ACCURACY:g} % of A and {LOSS:g} ξ"
    return Boundary("B_L", criterion, low, high, tuple(judged), tuple(notes))


def huge_batch(results: Results, base: Baseline) -> Boundary:
    """The bracket of B_H (Definition 2.2): `low` is the largest batch size that holds, `high` the next one
    above it, where the best of all points that were tried does not.
    """
    found = (judge(size, points, base, axes=results.axes) for size, points in _above(results, base))
    judged = [one for one in found if one is not None]
    low = max((one.batch_size for one in judged if one.holds), default=base.batch_size)
    high = min((one.batch_size for one in judged if one.batch_size > low), default=None)
    notes = () if judged else ("no run with a larger batch size has finished",)
    criterion = f"some technique reaches {100 * ACCURACY:g} % of A"
    return Boundary("B_H", criterion, low, high, tuple(judged), notes)


def full_batch(base: Baseline) -> int | None:
    """B_F (Definition 2.3): the training examples of the baseline's runs; None where they are not known."""
    from horovod_lb.data import describe
    from horovod_lb.errors import DataError

    spec = base.point.runs[0].spec
    try:
        return describe(spec.get("data") or {}).train_examples or None
    except DataError:
        return (spec.get("derived") or {}).get("train_examples")


def _above(results: Results, base: Baseline) -> list[tuple[int, list[Point]]]:
    """The points of each larger batch size, without those that train for more epochs than the baseline."""

    return [
        (size, [point for point in points if base.in_time(about(point, "epochs"))])
        for size, points in by_batch_size(results.points).items()
        if size > base.batch_size
    ]


def _is_scaled(point: Point, base: Baseline, rate: float, axes: Sequence[str]) -> bool:
    here, there = point.named(axes), base.point.named(axes)
    own = [axis for axis in axes if not _goes_with_batch(axis)]
    peak = about(point, "learning_rate_peak")
    return (
        is_finite(peak)
        and math.isclose(peak, rate, rel_tol=_SAME_RATE)
        and sort_key(here[axis] for axis in own) == sort_key(there[axis] for axis in own)
    )


def _goes_with_batch(axis: str) -> bool:
    """Whether an axis is the batch size, or what follows it: its groups, its rate, the ranks."""
    follows = ("recipe.groups", "recipe.scaling", "recipe.reference", "resources", "learning_rate_peak")
    return axis in (*BATCH_AXES, LABEL) or axis.startswith(follows)
