"""Whether a batch size still reaches what the baseline does, and how sure that is."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from horovod_lb.analysis.choice import choose
from horovod_lb.analysis.points import Point
from horovod_lb.analysis.regimes.baseline import Baseline, about, finals
from horovod_lb.analysis.regimes.best import Edge, edges
from horovod_lb.analysis.regimes.criterion import SURE, above, below
from horovod_lb.analysis.table import text

ACCURACY, LOSS = 0.995, 1.2
_EPOCHS = ("recipe.epochs", "epochs")


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


def judge(
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
    losses = finals(point, "val_loss") if with_loss else []
    smoothing = {text(about(one, "recipe.label_smoothing") or 0) for one in (point, base.point)}
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
        if one.axis not in _EPOCHS or base.in_time(one.beyond)  # what trains longer is not judged
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
    return [*finals(point, "val_accuracy"), *[0.0] * point.n_diverged]
