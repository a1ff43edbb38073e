"""The regimes of You et al. 2020 (Definitions 2.1 to 2.3), as brackets of their boundaries.

A baseline of batch size B_0 and rate η reaches the accuracy A and the validation loss ξ in ρ epochs.

- Below B_L, batch size B at the rate B·η/B_0 reaches 99.5 % of A or more and 1.2 ξ or less in ρ epochs.
- Above B_H, nothing that was tried reaches 99.5 % of A in ρ epochs.
- B_F is the number of training examples.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.choice import choose
from horovod_lb.analysis.points import BATCH_AXES, LABEL, Point
from horovod_lb.analysis.regimes.batches import baseline_of, batch_size_of, by_batch_size
from horovod_lb.analysis.regimes.best import Edge, edges
from horovod_lb.analysis.regimes.criterion import SURE, above, below
from horovod_lb.analysis.rows import is_finite
from horovod_lb.analysis.table import sort_key, text
from horovod_lb.runs import State

if TYPE_CHECKING:
    from horovod_lb.analysis.results import Results

ACCURACY, LOSS = 0.995, 1.2
_EPOCHS = ("recipe.epochs", "epochs")
_SAME_RATE = 1e-3
"""How far, relatively, a peak rate may be from B·η/B_0: rates in study files are rounded."""


@dataclass(frozen=True)
class Baseline:
    """The baseline's point, `how` it was found, and what its runs came to."""

    point: Point
    how: str
    batch_size: int

    @cached_property
    def accuracies(self) -> list[float]:
        """Final validation accuracies of the converged runs; their mean is A."""
        return _finals(self.point, "val_accuracy")

    @cached_property
    def losses(self) -> list[float]:
        """Final validation losses of the converged runs; their mean is ξ."""
        return _finals(self.point, "val_loss")

    @property
    def accuracy(self) -> float:
        """A, a fraction."""
        return statistics.fmean(self.accuracies)

    @property
    def loss(self) -> float | None:
        """ξ."""
        return statistics.fmean(self.losses) if self.losses else None

    @property
    def rate(self) -> Any:
        """η, the peak rate."""
        return _about(self.point, "learning_rate_peak")

    @property
    def epochs(self) -> Any:
        """ρ."""
        return _about(self.point, "epochs")


@dataclass(frozen=True)
class Judged:
    """Whether a criterion `holds` at a batch size, by the mean over seeds, with the one-sided `confidence` of
    just that (None: not known). `accuracy` counts diverged runs as 0; `loss` is the mean of the converged
    ones, None where it is not part of the criterion. `point` is the best of `points` that were compared,
    `edges` where it is at the edge of them.
    """

    batch_size: int
    point: Point
    holds: bool
    confidence: float | None
    accuracy: float
    loss: float | None
    points: int = 1
    notes: tuple[str, ...] = ()
    edges: tuple[Edge, ...] = ()

    @property
    def n(self) -> int:
        """Runs with a result, diverged ones included."""
        return self.point.accuracy.n + self.point.n_diverged

    @property
    def decided(self) -> bool:
        """Whether more seeds are not needed."""
        return self.confidence is not None and self.confidence >= SURE


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


def baseline(results: Results) -> Baseline | None:
    """The study's baseline, else its smallest batch size (`batches.baseline_of`); None without a result."""
    found = baseline_of(results)
    size = batch_size_of(found[0]) if found else None
    return Baseline(*found, size) if found and size is not None else None


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
        found = _judge(size, same, base, with_loss=True)
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
    found = (_judge(size, points, base, axes=results.axes) for size, points in _above(results, base))
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
        (size, [point for point in points if _in_time(_about(point, "epochs"), base)])
        for size, points in by_batch_size(results.points).items()
        if size > base.batch_size
    ]


def _in_time(epochs: Any, base: Baseline) -> bool:
    """Whether that many epochs are no more than ρ, as far as is known."""
    return not (is_finite(epochs) and is_finite(base.epochs)) or epochs <= base.epochs * (1 + 1e-9)


def _is_scaled(point: Point, base: Baseline, rate: float, axes: Sequence[str]) -> bool:
    here, there = point.named(axes), base.point.named(axes)
    own = [axis for axis in axes if not _goes_with_batch(axis)]
    peak = _about(point, "learning_rate_peak")
    return (
        is_finite(peak)
        and math.isclose(peak, rate, rel_tol=_SAME_RATE)
        and sort_key(here[axis] for axis in own) == sort_key(there[axis] for axis in own)
    )


def _goes_with_batch(axis: str) -> bool:
    """Whether an axis is the batch size, or what follows it: its groups, its rate, the ranks."""
    follows = ("recipe.groups", "recipe.scaling", "recipe.reference", "resources", "learning_rate_peak")
    return axis in (*BATCH_AXES, LABEL) or axis.startswith(follows)


def _judge(
    size: int, points: Sequence[Point], base: Baseline, *, with_loss: bool = False, axes: Sequence[str] = ()
) -> Judged | None:
    """The best of `points` against the criterion; None where no run has a result."""
    finished = [point for point in points if point.accuracy.n or point.n_diverged]
    if not finished:
        return None
    point = _best(finished, base)
    values = _with_diverged(point)
    accuracy = statistics.fmean(values)
    sure, holds = above(values, base.accuracies, ACCURACY), accuracy >= ACCURACY * base.accuracy
    notes = [f"{point.n_diverged} of {len(values)} runs diverged"] if point.n_diverged else []
    losses = _finals(point, "val_loss") if with_loss else []
    smoothing = {text(_about(one, "recipe.label_smoothing") or 0) for one in (point, base.point)}
    if losses and len(smoothing) > 1:
        notes.append("losses with different label smoothing are not comparable: judged by accuracy alone")
        losses = []
    loss = statistics.fmean(losses) if losses and base.losses else None
    if loss is not None:
        sure_loss = below(losses, base.losses, LOSS)
        holds = holds and loss <= LOSS * statistics.fmean(base.losses)
        if loss > LOSS * statistics.fmean(base.losses):
            notes.append(f"the loss {loss:.4g} is above {LOSS:g} ξ")
        confidence = _both(sure, sure_loss) if holds else _either(sure, sure_loss)
    elif holds:
        confidence = _any(above(_with_diverged(one), base.accuracies, ACCURACY) for one in finished)
    else:
        confidence = None if sure is None else 1 - sure
    at_edge = tuple(
        one
        for one in edges(point, finished, axes)
        if one.axis not in _EPOCHS or _in_time(one.beyond, base)  # what trains longer is not judged
    )
    return Judged(size, point, holds, confidence, accuracy, loss, len(finished), tuple(notes), at_edge)


def _best(finished: Sequence[Point], base: Baseline) -> Point:
    """The best of the points that reach 99.5 % of A, of all of them where none does: the best by the mean of
    its converged runs alone may be one that diverges too often, beside another one that holds.
    """
    holding = [
        point for point in finished if statistics.fmean(_with_diverged(point)) >= ACCURACY * base.accuracy
    ]
    return choose(holding or finished) or finished[0]


def _both(*held: float | None) -> float | None:
    """How sure it is that all criteria hold, of each of which it is so sure."""
    known = [value for value in held if value is not None]
    return min(known) if len(known) == len(held) else None


def _either(*held: float | None) -> float | None:
    """How sure it is that at least one of the criteria does not hold (Bonferroni); one is enough to know."""
    known = [value for value in held if value is not None]
    return max(0.0, 1 - len(held) * min(known)) if known else None


def _any(held: Iterable[float | None]) -> float | None:
    """How sure it is that one of several points holds, by Simes' test: the best of m is above by chance the
    more easily the larger m is, unless others are above as well. Points that surely are below do not count
    among the m; points with one seed do.
    """
    values = list(held)
    if all(value is None for value in values):
        return None
    wrong = sorted(
        1.0 if value is None else 1 - value for value in values if value is None or value > 1 - SURE
    )
    return max([0.0, *(1 - len(wrong) * value / rank for rank, value in enumerate(wrong, 1))])


def _with_diverged(point: Point) -> list[float]:
    """The final accuracies of a point's runs, those that diverged as 0."""
    return [*_finals(point, "val_accuracy"), *[0.0] * point.n_diverged]


def _finals(point: Point, column: str) -> list[float]:
    """The last values of the runs that trained to their end."""
    values = (run.last(column) for run in point.runs if run.state is State.COMPLETED)
    return [float(value) for value in values if is_finite(value)]


def _about(point: Point, name: str) -> Any:
    return point.runs[0].value(name)
