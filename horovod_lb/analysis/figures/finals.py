"""What figures show of a point: the final values of its converged runs, and which point is the baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence

from horovod_lb.analysis.points import Point
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.table import sort_key
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
