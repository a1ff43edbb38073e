"""The best value of an axis (a rate, a number of warmup epochs) at each batch size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.choice import choose
from horovod_lb.analysis.points import BATCH_AXES, LABEL, Point, is_tuned
from horovod_lb.analysis.regimes.batches import batch_size_of
from horovod_lb.analysis.rows import is_finite
from horovod_lb.analysis.statistics import Summary
from horovod_lb.analysis.table import cell, sort_key, text
from horovod_lb.analysis.wide import label

if TYPE_CHECKING:
    from horovod_lb.analysis.results import Results


@dataclass(frozen=True)
class Best:
    """The value of an axis that is best at a batch size, among the `tried` ones, and the point that has it.

    `edge` is "lowest" or "highest" where the best is at an edge of what was tried, so that the optimum may
    lie beyond it, "only" where there was but one value, else None. `group` has the values of the axes that
    are not tuned: each of their combinations has its own best. `points` are those that converged of all that
    were compared.
    """

    batch_size: int
    value: float
    point: Point
    tried: tuple[float, ...]
    edge: str | None
    group: Mapping[str, Any] = field(default_factory=dict)
    points: tuple[Point, ...] = ()

    @property
    def accuracy(self) -> Summary:
        """The final validation accuracy of the point over its seeds; as a maximum it is biased upwards."""
        return self.point.accuracy

    @property
    def bracketed(self) -> bool:
        """Whether worse values were tried on both sides."""
        return self.edge is None

    @property
    def note(self) -> str:
        """What a reader of the value must know; "" if nothing."""
        if self.edge == "only":
            return "only one value tried"
        return f"{self.edge} value tried: the optimum may lie beyond" if self.edge else ""


def best_by_batch(results: Results, axis: str) -> list[Best]:
    """The best value of `axis` at each batch size, by mean final validation accuracy over common seeds.

    `axis` is a study key or a derived column (`learning_rate_peak`, `warmup_epochs`). The points of a batch
    size that differ in tuned axes alone compete, by the rules of `best.csv` (`choice.choose`); the axes that
    are not tuned (`Source.tuned`) make groups. Points where the axis has no numeric value, and batch sizes
    where no run has a result, are left out. In the order of groups and batch sizes.
    """
    tuned = results.source.tuned
    kept = [
        name
        for name in results.axes
        if name not in BATCH_AXES
        and name != axis
        and not (is_tuned(name) if tuned is None else name in tuned)
    ]
    groups: dict[Any, list[Point]] = {}
    for point in results.points:
        size = batch_size_of(point)
        if size is not None and is_finite(value_of(point, axis)):
            named = point.named(results.axes)
            groups.setdefault((sort_key(named[name] for name in kept), size), []).append(point)
    found = []
    for (_, size), points in sorted(groups.items(), key=lambda item: item[0]):
        finished = [point for point in points if point.accuracy.n or point.n_diverged]
        best = choose(finished)
        if best is not None:
            tried = tuple(sorted({value_of(point, axis) for point in finished}))
            value = value_of(best, axis)
            group = {name: best.named(results.axes)[name] for name in kept}
            converged = tuple(point for point in finished if point.accuracy.n >= max(1, point.n_diverged))
            found.append(Best(size, value, best, tried, edge(value, tried), group, converged))
    return found


def edge(value: float, tried: tuple[float, ...]) -> str | None:
    """Where in the rising `tried` values `value` is: at an edge, or None. At 0 there is nothing below."""
    if len(tried) == 1:
        return "only"
    if value == tried[-1]:
        return "highest"
    return "lowest" if value == tried[0] and value > 0 else None


@dataclass(frozen=True)
class Edge:
    """A numeric `axis` whose best `value` is the "lowest" or "highest" tried, and the value `beyond` it that
    goes on as far as the last two were apart.
    """

    axis: str
    value: float
    at: str
    beyond: float

    def __str__(self) -> str:
        return f"{label(self.axis)} {text(self.value)} is the {self.at} tried: a better one may lie beyond"


def edges(point: Point, points: Sequence[Point], axes: Sequence[str]) -> tuple[Edge, ...]:
    """The axes on which `point`, the best of `points` of one batch size, is at the edge of those points that
    are like it on all other axes.
    """
    found = []
    for axis in axes:
        others = [name for name in axes if name not in (axis, LABEL)]
        own = sort_key(point.named(axes)[name] for name in others)
        beside = [
            one.named(axes)[axis]
            for one in points
            if sort_key(one.named(axes)[name] for name in others) == own
        ]
        tried = tuple(sorted(set(beside))) if all(map(is_finite, beside)) else ()
        at = edge(point.named(axes)[axis], tried) if axis not in BATCH_AXES and len(tried) > 1 else None
        if at:
            last, before = (tried[-1], tried[-2]) if at == "highest" else (tried[0], tried[1])
            found.append(Edge(axis, last, at, _beyond(last, before)))
    return tuple(found)


def _beyond(last: float, before: float) -> float:
    """The next value after `before`, `last`: by the same factor, or the same step from 0."""
    following = float(f"{last * last / before if before > 0 else 2 * last:.6g}")
    whole = isinstance(last, int) and isinstance(before, int)
    return max(round(following), 0) if whole else following


def value_of(point: Point, axis: str) -> Any:
    """A point's value on an axis, or of a column that follows from it, to the ten digits of the tables: rates
    that follow from different rules are the same but for round-off.
    """
    value = point.runs[0].value(axis)
    return float(cell(value)) if isinstance(value, float) else value
