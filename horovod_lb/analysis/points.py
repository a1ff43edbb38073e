"""Points of a study: the runs that differ in nothing but the seed, and what they came to together.

`accuracy.csv` is made here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from horovod_lb.analysis.record import Record
from horovod_lb.analysis.statistics import COLUMNS as SUMMARY
from horovod_lb.analysis.statistics import Summary, summarize
from horovod_lb.analysis.table import Table, cell, sort_key
from horovod_lb.runs import State

BATCH_AXES = ("recipe.batch_size", "batch_size")
LABEL = "label"
_COUNTS = ("n_diverged", "n_missing", "missing_seeds", "n_chance", "n_unstable")


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
    def accuracies(self) -> tuple[float, ...]:
        """The final validation accuracy of each converged run."""
        return tuple(value for _, value in self._converged("val_accuracy"))

    @cached_property
    def accuracy(self) -> Summary:
        """The final validation accuracy over seeds."""
        return summarize(self.accuracies)

    @cached_property
    def test_accuracy(self) -> Summary:
        """The test accuracy over seeds."""
        return summarize([value for _, value in self._converged("test_accuracy")])

    def by_seed(self) -> dict[Any, float]:
        """The final validation accuracy of each seed that has one; of several runs of a seed their mean."""
        found: dict[Any, list[float]] = {}
        for seed, value in self._converged("val_accuracy"):
            if seed is not None:
                found.setdefault(seed, []).append(value)
        return {seed: math.fsum(values) / len(values) for seed, values in found.items()}

    def _converged(self, column: str) -> Iterator[tuple[Any, float]]:
        for run in self.runs:
            value = _result(run, column)
            if value is not None:
                yield run.seed, value

    @property
    def seeds(self) -> tuple[Any, ...]:
        """The seeds of its runs, each once, in order."""
        return _in_order(run.seed for run in self.runs)

    @property
    def diverged_seeds(self) -> tuple[Any, ...]:
        """The seeds of the runs that diverged."""
        return _in_order(run.seed for run in self.runs if run.state is State.DIVERGED)

    @property
    def missing_seeds(self) -> tuple[Any, ...]:
        """The seeds of the runs that have no result."""
        return _in_order(
            run.seed
            for run in self.runs
            if run.state is not State.DIVERGED and _result(run, "val_accuracy") is None
        )

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

    def counts(self) -> dict[str, Any]:
        """What the mean does not tell; runs at chance and unstable ones are in it."""
        return {
            "n_diverged": self.n_diverged,
            "n_missing": self.n_missing,
            "missing_seeds": " ".join(map(cell, self.missing_seeds)),
            "n_chance": self.count("chance"),
            "n_unstable": self.count("unstable"),
        }


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
    """`accuracy.csv`: final validation accuracy of each point over its seeds, and its test accuracy."""
    rows = [
        {
            **point.named(axes),
            **point.accuracy.columns(),
            **point.counts(),
            **point.test_accuracy.columns("test_"),
        }
        for point in points
    ]
    return Table((*axes, *SUMMARY, *_COUNTS, *(f"test_{name}" for name in SUMMARY)), rows)


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


def _result(run: Record, column: str) -> float | None:
    """The final accuracy of a run that trained to its end with a finite loss; None of others."""
    value = run.exit.get(column) if column.startswith("test_") else run.last(column)
    if run.state is State.COMPLETED and isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return None


def _in_order(seeds: Iterable[Any]) -> tuple[Any, ...]:
    found = {sort_key([seed]): seed for seed in seeds if seed is not None}
    return tuple(found[key] for key in sorted(found))
