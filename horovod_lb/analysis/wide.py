"""The accuracy table as papers print it: one axis down, one across, `mean ± std (n)` in each cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from horovod_lb.analysis.points import BATCH_AXES, Point, distinguishing
from horovod_lb.analysis.table import Table, cell, sort_key


@dataclass(frozen=True)
class Wide:
    """Points laid out in a grid: `rows` (values of `row_axes`) × `columns` (values of `column_axis`, None for
    no axis).

    Where an axis has no say in the layout (it is determined by the others), it is left out.
    """

    row_axes: tuple[str, ...]
    column_axis: str | None
    rows: tuple[tuple[Any, ...], ...]
    columns: tuple[Any, ...]
    cells: tuple[tuple[Point | None, ...], ...]

    def table(self, *, error: bool = False, percent: bool = False, pretty: bool = False) -> Table:
        """The grid as text: accuracy, or error = 1 − accuracy; fractions, or percent; `pretty` axis names for
        people.
        """
        name = label if pretty else str
        one = "error" if error else "accuracy"
        if percent:
            one += " (%)"
        heads = [
            f"{name(self.column_axis)} = {cell(value) or 'none'}" if self.column_axis else one
            for value in self.columns
        ]
        rows = []
        for values, points in zip(self.rows, self.cells, strict=True):
            row = dict(zip(map(name, self.row_axes), values, strict=True))
            row |= {
                head: cell_text(point, error=error, percent=percent)
                for head, point in zip(heads, points, strict=True)
            }
            rows.append(row)
        return Table((*map(name, self.row_axes), *heads), rows)


def wide(points: Sequence[Point], axes: Sequence[str]) -> Wide:
    """The grid of `points`: the batch size (else the first axis) down, the next axis across, further ones
    down too.
    """
    batch_first = sorted(axes, key=lambda axis: axis not in BATCH_AXES)
    used = distinguishing([point.named(axes) for point in points], batch_first)
    main = next((axis for axis in used if axis in BATCH_AXES), used[0] if used else None)
    others = [axis for axis in used if axis != main]
    column_axis = others[0] if others else None
    row_axes = tuple(axis for axis in (*others[1:], main) if axis is not None)
    grid: dict[Any, Point] = {}
    rows: dict[Any, tuple[Any, ...]] = {}
    columns: dict[Any, Any] = {}
    for point in points:
        named = point.named(axes)
        row = tuple(named[axis] for axis in row_axes)
        column = named[column_axis] if column_axis else None
        rows.setdefault(sort_key(row), row)
        columns.setdefault(sort_key([column]), column)
        grid[sort_key(row), sort_key([column])] = point
    return Wide(
        row_axes,
        column_axis,
        tuple(rows[key] for key in sorted(rows)),
        tuple(columns[key] for key in sorted(columns)),
        tuple(tuple(grid.get((row, column)) for column in sorted(columns)) for row in sorted(rows)),
    )


def cell_text(point: Point | None, *, error: bool = False, percent: bool = False) -> str:
    """`0.9851 ± 0.0012 (3)`, and what the mean does not tell: diverged runs, runs at chance level, unstable
    ones.

    Empty where the study has no such point, `missing` where no run of it has a result yet.
    """
    if point is None:
        return ""
    summary, scale, digits = point.accuracy, *((100, 2) if percent else (1, 4))
    if summary.mean is None:
        return f"diverged ({point.n_diverged})" if point.n_diverged else "missing"
    mean = 1 - summary.mean if error else summary.mean
    spread = "" if summary.std is None else f" ± {summary.std * scale:.{digits}f}"
    notes = [
        f"{count} {word}"
        for count, word in (
            (point.n_diverged, "diverged"),
            (point.count("chance"), "at chance"),
            (point.count("unstable"), "unstable"),
        )
        if count
    ]
    return f"{mean * scale:.{digits}f}{spread} ({'; '.join([str(summary.n), *notes])})"


def label(axis: str) -> str:
    """The name of an axis or column for people: `recipe.warmup.epochs` is `warmup epochs`."""
    name = axis.removeprefix("recipe.").removeprefix("resources.")
    return name.replace(".", " ").replace("_", " ")
