"""The best point over tuned axes, chosen by validation and reported on test; `best.csv`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from horovod_lb.analysis.points import Point, is_tuned
from horovod_lb.analysis.statistics import COLUMNS as SUMMARY
from horovod_lb.analysis.statistics import Summary
from horovod_lb.analysis.table import Table, sort_key

_COUNTS = ("n_diverged", "n_missing", "missing_seeds")


def best_table(points: Sequence[Point], axes: Sequence[str], tuned: Sequence[str] | None = None) -> Table:
    """`best.csv`: of the points that differ in `tuned` axes alone the one with the highest mean final
    validation accuracy, and its test accuracy.

    Where a study does not say, all axes of the recipe but the batch size are taken as tuned. Points where
    more runs diverged than converged are chosen only where there are no others. Points are compared over the
    seeds that all of them have, if there are any, so that one that was trained with more seeds is neither
    better nor worse for it. Of equal means the one over more runs wins, then the first. Where no run has
    converged yet, nothing is chosen: the tuned axes are empty, and the counts are of all the points.
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
    finished = [point for point in candidates if point.accuracy.n]
    # The mean over the few runs that survived says nothing of a point where most diverge.
    sound = [point for point in finished if point.n_diverged <= point.accuracy.n]
    said = {
        "points": len(candidates),
        "points_diverged": sum(point.n_diverged > point.accuracy.n for point in candidates),
    }
    if not finished and len(candidates) > 1:
        named = candidates[0].named(axes)
        return {
            **{axis: named[axis] for axis in kept},
            **said,
            **Summary(0).columns("val_"),
            **Summary(0).columns("test_"),
            **_total(point.counts() for point in candidates),
        }
    chosen_from = sound or finished or candidates
    best = max(chosen_from, key=_rank(chosen_from))
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


def _rank(points: Sequence[Point]) -> Callable[[Point], tuple[float, int]]:
    """What a point is chosen by: its mean over the seeds that all `points` have, and its number of runs."""
    common = set.intersection(*(set(point.by_seed()) for point in points))

    def rank(point: Point) -> tuple[float, int]:
        values = [value for seed, value in point.by_seed().items() if seed in common]
        mean = math.fsum(values) / len(values) if values else point.accuracy.mean
        return mean or 0.0, point.accuracy.n

    return rank
