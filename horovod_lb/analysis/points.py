"""Points of a study: the runs that differ in nothing but the seed, and what they came to together.

`accuracy.csv`, `differences.csv` and `best.csv` are made here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from horovod_lb.analysis.record import Record
from horovod_lb.analysis.statistics import Summary, summarize
from horovod_lb.analysis.table import Table, sort_key
from horovod_lb.runs import State

BATCH_AXES = ("recipe.batch_size", "batch_size")
LABEL = "label"
_SUMMARY = ("n", "mean", "std", "ci95_low", "ci95_high")
_COUNTS = ("n_diverged", "n_missing", "n_chance", "n_unstable")


@dataclass(frozen=True)
class Point:
    """A point and its runs. Means are over the runs that trained to their end with a finite loss, and no
    others.
    """

    values: tuple[Any, ...]
    runs: tuple[Record, ...]

    def named(self, axes: Sequence[str]) -> dict[str, Any]:
        """The values by the names of their axes."""
        return dict(zip(axes, self.values, strict=True))

    @cached_property
    def accuracy(self) -> Summary:
        """The final validation accuracy over seeds."""
        return summarize([value for _, value in self._converged("val_accuracy")])

    @cached_property
    def test_accuracy(self) -> Summary:
        """The test accuracy over seeds."""
        return summarize([value for _, value in self._converged("test_accuracy")])

    def by_seed(self) -> dict[Any, float]:
        """The final validation accuracy of each converged run that says its seed."""
        return {seed: value for seed, value in self._converged("val_accuracy") if seed is not None}

    def _converged(self, column: str) -> Iterator[tuple[Any, float]]:
        for run in self.runs:
            value = run.exit.get(column) if column.startswith("test_") else run.last(column)
            if run.state is State.COMPLETED and isinstance(value, int | float) and math.isfinite(value):
                yield run.seed, float(value)

    @property
    def n_diverged(self) -> int:
        """How many runs diverged: results, though without an accuracy."""
        return sum(run.state is State.DIVERGED for run in self.runs)

    @property
    def n_missing(self) -> int:
        """How many runs have no result: not started, not finished, failed, or without a validation
        accuracy.
        """
        return len(self.runs) - self.n_diverged - self.accuracy.n

    def count(self, outcome: str) -> int:
        """How many runs came to this outcome."""
        return sum(run.outcome == outcome for run in self.runs)

    def counts(self) -> dict[str, int]:
        """The counts beside the mean; those at chance and the unstable ones are in the mean."""
        return dict(
            zip(
                _COUNTS,
                (self.n_diverged, self.n_missing, self.count("chance"), self.count("unstable")),
                strict=True,
            )
        )


def points_of(records: Iterable[Record], axes: Sequence[str]) -> list[Point]:
    """The points that the runs belong to, in the order of their values."""
    groups: dict[Any, list[Record]] = {}
    for record in records:
        groups.setdefault(sort_key(record.value(axis) for axis in axes), []).append(record)
    return [
        Point(tuple(groups[key][0].value(axis) for axis in axes), tuple(groups[key]))
        for key in sorted(groups)
    ]


def accuracy_table(points: Sequence[Point], axes: Sequence[str]) -> Table:
    """`accuracy.csv`: final validation accuracy of each point over its seeds."""
    rows = [{**point.named(axes), **_summary(point.accuracy), **point.counts()} for point in points]
    return Table((*axes, *_SUMMARY, *_COUNTS), rows)


def differences_table(points: Sequence[Point], axes: Sequence[str], baseline: Mapping[str, Any]) -> Table:
    """`differences.csv`: each point against the baseline, in pairs of runs with the same seed.

    `baseline` gives values for some or all axes. Where several points have these values, a point is compared
    with the one of them that agrees with it on the other axes. Without a baseline the table has no rows.
    """
    fixed = {axis: value for axis, value in baseline.items() if axis in axes}
    references = [point for point in points if fixed and _agree(point, fixed, axes)]
    rows = []
    for point in points if references else ():
        if any(point is reference for reference in references):
            continue
        free = {axis: value for axis, value in point.named(axes).items() if axis not in fixed}
        same = [
            reference for reference in references if len(references) == 1 or _agree(reference, free, axes)
        ]
        here, there = point.by_seed(), same[0].by_seed() if same else {}
        pairs = summarize([value - there[seed] for seed, value in here.items() if seed in there])
        summary = _summary(pairs)
        summary["mean_difference"], summary["std_difference"] = summary.pop("mean"), summary.pop("std")
        rows.append({**point.named(axes), **summary})
    return Table((*axes, "n", "mean_difference", "std_difference", "ci95_low", "ci95_high"), rows)


def _agree(point: Point, values: Mapping[str, Any], axes: Sequence[str]) -> bool:
    named = point.named(axes)
    return sort_key(named[axis] for axis in values) == sort_key(values.values())


def best_table(points: Sequence[Point], axes: Sequence[str], tuned: Sequence[str] | None = None) -> Table:
    """`best.csv`: of the points that differ in `tuned` axes alone the one with the highest mean final
    validation accuracy, and its test accuracy.

    Where a study does not say, all axes of the recipe but the batch size are taken as tuned. Points where
    more runs diverged than converged are chosen only where there are no others. Points are compared over the
    seeds that all of them have, if there are any, so that one that was trained with more seeds is neither
    better nor worse for it. Of equal means the one over more runs wins, then the first.
    """
    kept = [axis for axis in axes if not (is_tuned(axis) if tuned is None else axis in tuned)]
    groups: dict[Any, list[Point]] = {}
    for point in points:
        named = point.named(axes)
        groups.setdefault(sort_key(named[axis] for axis in kept), []).append(point)
    rows = []
    for candidates in groups.values():
        finished = [point for point in candidates if point.accuracy.n]
        # The mean over the few runs that survived says nothing of a point where most diverge.
        sound = [point for point in finished if point.n_diverged <= point.accuracy.n] or finished
        if not sound:
            continue
        best = max(sound, key=_rank(sound))
        test = _summary(best.test_accuracy)
        rows.append(
            {
                **best.named(axes),
                "points": len(candidates),
                **{f"val_{name}": value for name, value in _summary(best.accuracy).items()},
                **{f"test_{name}": value for name, value in test.items()},
                **best.counts(),
            }
        )
    columns = (f"{part}_{name}" for part in ("val", "test") for name in _SUMMARY)
    ordered = (*kept, *(axis for axis in axes if axis not in kept))
    return Table((*ordered, "points", *columns, *_COUNTS[:2]), rows)


def _rank(points: Sequence[Point]) -> Callable[[Point], tuple[float, int]]:
    """What a point is chosen by: its mean over the seeds that all `points` have, and its number of runs."""
    common = set.intersection(*(set(point.by_seed()) for point in points))

    def rank(point: Point) -> tuple[float, int]:
        values = [value for seed, value in point.by_seed().items() if seed in common]
        mean = math.fsum(values) / len(values) if values else point.accuracy.mean
        return mean or 0.0, point.accuracy.n

    return rank


def is_tuned(axis: str) -> bool:
    """Whether an axis is taken as tuned where a study does not say: all of the recipe but the batch size.

    Names of points never are. Axes that a script without a study has named (no dot) count as the recipe's.
    """
    return axis not in (*BATCH_AXES, LABEL) and ("." not in axis or axis.startswith("recipe."))


def axes_of(records: Sequence[Record]) -> tuple[str, ...]:
    """The axes of a set of runs: the keys of their points.

    Where no run has a point (scripts that know nothing of studies): what the scripts said of their runs and
    what tells runs apart that nothing before it did, the batch size first.
    """
    named = dict.fromkeys(axis for record in records for axis in record.spec.get("point") or {})
    if named:
        return tuple(named)
    said = [record.spec.get("derived") or {} for record in records]
    return distinguishing(said, dict.fromkeys(["batch_size", *(name for about in said for name in about)]))


def distinguishing(rows: Sequence[Mapping[str, Any]], names: Iterable[str]) -> tuple[str, ...]:
    """Those of `names`, in order, whose values tell apart rows that the names before them do not."""
    kept: list[str] = []
    seen = 1
    for name in names:
        now = len({sort_key(row.get(key) for key in (*kept, name)) for row in rows})
        if now > seen:
            kept.append(name)
            seen = now
    return tuple(kept)


def _summary(summary: Summary) -> dict[str, Any]:
    values = (summary.n, summary.mean, summary.std, summary.low, summary.high)
    return dict(zip(_SUMMARY, values, strict=True))
