"""The best point over tuned axes, chosen by validation and reported on test; `best.csv`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from horovod_lb.analysis.choice import choose
from horovod_lb.analysis.points import Point, is_tuned
from horovod_lb.analysis.statistics import COLUMNS as SUMMARY
from horovod_lb.analysis.statistics import Summary
from horovod_lb.analysis.table import Table, sort_key

_COUNTS = ("n_diverged", "n_missing", "missing_seeds")


def best_table(points: Sequence[Point], axes: Sequence[str], tuned: Sequence[str] | None = None) -> Table:
    """`best.csv`: of the points that differ in `tuned` axes alone the one with the highest mean final
    validation accuracy, and its test accuracy.

    Where a study does not say, all axes of the recipe but the batch size are taken as tuned. The rules are
    those of `choice.choose`. Where no run of several points has converged, nothing is chosen: the tuned axes
    are empty, and the counts are of all the points.
    """
    kept = [axis for axis in axes if not (is_tuned(axis) if tuned is None else axis in tuned)]
    groups: dict[Any, list[Point]] = {}
    for point in points:
        named = point.named(axes)
        groups.setdefault(sort_key(named[axis] for axis in kept), []).append(point)
    rows = [_row(candidates, axes, kept) for candidates in groups.values()]
    columns = (f"{part}_{name}" for part in ("val", "test") for name in SUMMARY)
    ordered = (*kept, *(axis for axis in axes if axis not in kept))
    return Table((*ordered, "points", "points_diverged", *columns, *_COUNTS), rows)


def _row(candidates: Sequence[Point], axes: Sequence[str], kept: Sequence[str]) -> dict[str, Any]:
    said = {
        "points": len(candidates),
        "points_diverged": sum(point.n_diverged > point.accuracy.n for point in candidates),
    }
    best = choose(candidates) or (candidates[0] if len(candidates) == 1 else None)
    if best is None:
        named = candidates[0].named(axes)
        return {
            **{axis: named[axis] for axis in kept},
            **said,
            **Summary(0).columns("val_"),
            **Summary(0).columns("test_"),
            **_total(point.counts() for point in candidates),
        }
    return {
        **best.named(axes),
        **said,
        **best.accuracy.columns("val_"),
        **best.test_accuracy.columns("test_"),
        **best.counts(),
    }


def _total(counts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    found = list(counts)
    return {
        name: sum(count[name] for count in found)
        for name in ("n_diverged", "n_missing", "n_chance", "n_unstable")
    }
