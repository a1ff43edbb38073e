"""What figures show of a point: the final values of its converged runs, and which point is the baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from horovod_lb.analysis.choice import choose
from horovod_lb.analysis.points import Point
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.table import sort_key
from horovod_lb.analysis.wide import label
from horovod_lb.runs import State

INTERVAL = "bars of the 95 % t interval"


def finals(point: Point, column: str = "val_accuracy") -> list[float]:
    """The last value of an epoch column in each converged run that has a finite one."""
    found = ((run, run.last(column)) for run in point.runs if run.state is State.COMPLETED)
    return [float(value) for _, value in found if isinstance(value, int | float) and math.isfinite(value)]


def counts(numbers: Sequence[int]) -> str:
    """How many runs the means are over, for captions: `n = 3`, or `n = 1 to 3`."""
    found = [number for number in numbers if number] or [0]
    low, high = min(found), max(found)
    return f"n = {low}" if low == high else f"n = {low} to {high}"


def baseline(results: Results) -> Point | None:
    """The point that the study names its baseline, if it is one."""
    wanted = {axis: value for axis, value in results.source.baseline.items() if axis in results.axes}
    named = ((point, point.named(results.axes)) for point in results.points)
    found = [
        point
        for point, values in named
        if wanted and sort_key(values[axis] for axis in wanted) == sort_key(wanted.values())
    ]
    return found[0] if len(found) == 1 else None


def best_of_tuned(results: Results, *shown: str | None) -> tuple[Results, str]:
    """The results of the best of the points that differ in the study's `tuned` axes alone, those that are
    `shown` aside, chosen as in `best.csv`, without these axes; and what a caption says of it. As they are
    where the study names no tuned axes.
    """
    tuned = [name for name in results.axes if name in (results.source.tuned or ()) and name not in shown]
    if not tuned:
        return results, ""
    kept = tuple(name for name in results.axes if name not in tuned)
    groups: dict[Any, list[Point]] = {}
    for point in results.points:
        named = point.named(results.axes)
        groups.setdefault(sort_key(named[name] for name in kept), []).append(point)
    best = [choose(points) or points[0] for points in groups.values()]
    records = tuple(run for point in best for run in point.runs)
    said = f", each the best of its points over {' and '.join(map(label, tuned))}"
    return replace(results, axes=kept, records=records), said
