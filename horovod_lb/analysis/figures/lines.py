"""What the figures draw: a line a point, with its place among colours, line styles and panels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from horovod_lb.analysis.points import BATCH_AXES, LABEL, Point
from horovod_lb.analysis.record import Record
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.table import sort_key
from horovod_lb.analysis.wide import label, value_label
from horovod_lb.runs import State

MOST_STYLES = 4
MOST_LINES = 16


@dataclass(frozen=True)
class Band:
    """Values by epoch over the runs of a point: mean, lowest and highest, and whether the runs have
    finished.
    """

    epochs: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    runs: int
    finished: bool


@dataclass(frozen=True)
class Roles:
    """Which axis is told by what: `main` by colour (or along x), `second` by line style, `panels` by a panel
    each.
    """

    main: str | None
    second: str | None
    panels: tuple[str, ...]


def roles(
    results: Results, *, main: str | None = None, most_styles: int = MOST_STYLES, most_lines: int = MOST_LINES
) -> Roles:
    """The batch size is the main axis where no other is asked for, the next one the second.

    Further axes are told by panels, and so is a second one with more than `most_styles` values or where a
    panel would hold more than `most_lines` lines.
    """
    used = axes(results)
    main = main if main in used else next(iter(used), None)
    others = [axis for axis in used if axis != main]
    second = others[0] if others else None
    count = len(values_of(results, second))
    if count > most_styles or count * len(values_of(results, main)) > most_lines:
        second = None
    return Roles(main, second, tuple(axis for axis in others if axis != second))


def numeric_axes(results: Results) -> list[str]:
    """The axes of the layout whose values are all numbers."""
    return [axis for axis in axes(results) if all(map(is_number, values_of(results, axis)))]


def places(values: Sequence[Any], *, logarithmic: bool) -> list[float]:
    """Where values stand along an axis: numbers by size (or by their logarithm to base 2), others one after
    the other.
    """
    if not all(map(is_number, values)):
        return [float(index) for index in range(len(values))]
    if logarithmic and all(value > 0 for value in values):
        return [math.log2(value) for value in values]
    return [float(value) for value in values]


def name(value: Any) -> str:
    """A value for people: as in tables, without characters that no font has and no SVG file may hold."""
    return "".join(
        one if one.isprintable() else " " if one.isspace() else "\ufffd" for one in value_label(value)
    )


def is_number(value: Any) -> bool:
    """Whether a value on an axis is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def values_of(results: Results, axis: str | None) -> list[Any]:
    """The values on an axis, in order; one None for no axis."""
    if axis is None:
        return [None]
    index = results.axes.index(axis)
    values = {sort_key([point.values[index]]): point.values[index] for point in results.points}
    return [values[key] for key in sorted(values)]


def value_at(results: Results, point: Point, axis: str | None) -> Any:
    """The point's value on an axis; None for no axis."""
    return None if axis is None else point.values[results.axes.index(axis)]


def by_panel(results: Results, axes: Sequence[str]) -> list[tuple[str, list[Point]]]:
    """The points by their values on the panel axes, with the panel's title."""
    panels: dict[Any, tuple[str, list[Point]]] = {}
    for point in results.points:
        values = [value_at(results, point, axis) for axis in axes]
        panels.setdefault(sort_key(values), (title(axes, values), []))[1].append(point)
    return [panels[key] for key in sorted(panels)]


def title(axes: Sequence[str], values: Sequence[Any]) -> str:
    """A point's values for the head of a panel; a point's own name (axis `label`) speaks for itself."""
    parts = zip(axes, values, strict=True)
    return ", ".join(
        name(value) if axis == LABEL else f"{label(axis)} = {name(value)}" for axis, value in parts
    )


def band(point: Point, column: str, *, by_step: bool = False) -> Band | None:
    """The point's values by epoch, over its converged runs; before there are any, over those still under way.

    Epochs that not all of these runs have reached are left out, so that every mean is over the same runs.
    `by_step`: by updates instead, see `series_by_step`.
    """
    read = series_by_step if by_step else series
    found = [(run, read(run, column)) for run in point.runs if run.state is not State.DIVERGED]
    there = [(run, values) for run, values in found if values]
    there = [pair for pair in there if pair[0].state is State.COMPLETED] or there
    if not there:
        return None
    values = [values for _, values in there]
    epochs = sorted(set(values[0]).intersection(*values[1:]))
    if not epochs:
        return None
    at = [[some[epoch] for some in values] for epoch in epochs]
    means = tuple(math.fsum(some) / len(some) for some in at)
    finished = there[0][0].state is State.COMPLETED
    return Band(tuple(epochs), means, tuple(map(min, at)), tuple(map(max, at)), len(there), finished)


def series(run: Record, column: str) -> dict[int, float]:
    """The run's values by epoch, as long as its losses are finite."""
    found: dict[int, float] = {}
    for row in run.epochs:
        losses = [row[name] for name in ("train_loss", "val_loss") if row.get(name) is not None]
        if not all(map(math.isfinite, losses)):
            break
        value = row.get(column)
        if value is not None and math.isfinite(value):
            found[row["epoch"]] = value
    return found


def series_by_step(run: Record, column: str) -> dict[int, float]:
    """The run's finite values by updates done: of single steps where it kept them, else of its epochs."""
    rows = run.steps if any(row.get(column) is not None for row in run.steps) else run.epochs
    return {
        row["step"]: row[column]
        for row in rows
        if row.get("step") is not None and row.get(column) is not None and math.isfinite(row[column])
    }


def diverged(point: Point, column: str) -> list[dict[int, float]]:
    """The values of each diverged run up to where it diverged; runs that never had any are left out."""
    found = (series(run, column) for run in point.runs if run.state is State.DIVERGED)
    return [values for values in found if values]


def runs_a_point(results: Results) -> str:
    """How many runs the means are over, for captions: `n = 3`, or `n = 1 to 3`."""
    counts = [point.accuracy.n for point in results.points if point.accuracy.n] or [0]
    low, high = min(counts), max(counts)
    return f"n = {low}" if low == high else f"n = {low} to {high}"


def batch_size(point: Point) -> Any:
    """The global batch size of a point's runs."""
    run = point.runs[0]
    return next((value for value in map(run.value, BATCH_AXES) if value is not None), None)


def axes(results: Results) -> list[str]:
    """The axes of the wide table, the most important first: down, across, and further ones down."""
    grid = results.grid
    return [axis for axis in (*grid.row_axes[-1:], grid.column_axis, *grid.row_axes[:-1]) if axis]
