"""The accuracy table as papers print it: one axis down, one across, `mean ± std (n)` in each cell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from horovod_lb.analysis.points import BATCH_AXES, Point, distinguishing
from horovod_lb.analysis.table import Span, Table, cell, sort_key

# What a cell says beside the mean and the number of runs in it, by the counts of `Point.counts`.
_NOTES = {
    "n_diverged": "diverged", "n_missing": "missing", "n_chance": "at chance", "n_unstable": "unstable",
}  # fmt: skip


@dataclass(frozen=True)
class Wide:
    """Points laid out in a grid: `rows` (values of `row_axes`) × `columns` (values of `column_axis`, None for
    no axis).

    Where an axis has no say in the layout (it is determined by the others), it is left out; those that have
    the same value everywhere are in `fixed`.
    """

    row_axes: tuple[str, ...]
    column_axis: str | None
    rows: tuple[tuple[Any, ...], ...]
    columns: tuple[Any, ...]
    cells: tuple[tuple[Point | None, ...], ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def table(self, *, error: bool = False, percent: bool = False, pretty: bool = False) -> Table:
        """The grid as text: accuracy, or error = 1 − accuracy; fractions, or percent; `pretty` axis names for
        people.
        """
        name = label if pretty else str
        shown = value_label if pretty else _plain
        one = "error" if error else "accuracy"
        if percent:
            one += " (%)"
        heads = [
            f"{name(self.column_axis)} = {shown(value)}" if self.column_axis else one
            for value in self.columns
        ]
        rows = []
        for values, points in zip(self.rows, self.cells, strict=True):
            row = {
                name(axis): named(value) if pretty else value
                for axis, value in zip(self.row_axes, values, strict=True)
            }
            row |= {
                head: cell_text(point, error=error, percent=percent)
                for head, point in zip(heads, points, strict=True)
            }
            rows.append(row)
        span = None
        if self.column_axis:
            span = Span(name(self.column_axis), dict(zip(heads, map(shown, self.columns), strict=True)))
        return Table((*map(name, self.row_axes), *heads), rows, span)

    def turned(self) -> Wide:
        """The same grid with the column axis down; only where one axis goes down and one across."""
        if len(self.row_axes) != 1 or self.column_axis is None:
            return self
        return Wide(
            (self.column_axis,),
            self.row_axes[0],
            tuple((value,) for value in self.columns),
            tuple(values[0] for values in self.rows),
            tuple(zip(*self.cells, strict=True)),
            self.fixed,
        )


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
    fixed = {
        axis: points[0].values[place]
        for place, axis in enumerate(axes)
        if len({sort_key([point.values[place]]) for point in points}) == 1
    }
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
        fixed,
    )


def cell_text(point: Point | None, *, error: bool = False, percent: bool = False) -> str:
    """`0.9851 ± 0.0012 (3)`, and what the mean does not tell: runs that diverged or are missing, runs at
    chance level, unstable ones.

    Empty where the study has no such point, `missing` where no run of it has a result yet.
    """
    if point is None:
        return ""
    return summary_text(point.accuracy.columns(), point.counts(), error=error, percent=percent)


def summary_text(
    summary: Mapping[str, Any], counts: Mapping[str, Any], *, error: bool = False, percent: bool = False
) -> str:
    """The text of a cell for `mean`, `std` and `n` of a summary, and the counts beside it."""
    scale, digits = (100, 2) if percent else (1, 4)
    notes = [f"{counts[name]} {word}" for name, word in _NOTES.items() if counts.get(name)]
    mean, std = summary["mean"], summary["std"]
    if mean is None:
        diverged = counts.get("n_diverged")
        return f"diverged ({'; '.join([str(diverged), *notes[1:]])})" if diverged else "missing"
    if error:
        mean = 1 - mean
    spread = "" if std is None else f" ± {std * scale:.{digits}f}"
    return f"{mean * scale:.{digits}f}{spread} ({'; '.join([str(summary['n']), *notes])})"


def label(axis: str) -> str:
    """The name of an axis or column for people: `recipe.warmup.epochs` is `warmup epochs`."""
    name = axis.removeprefix("recipe.").removeprefix("resources.")
    return name.replace(".", " ").replace("_", " ")


def value_label(value: Any) -> str:
    """A value on an axis, for people: `kind=adam, layerwise=(on=update)` is `adam, layerwise (on update)`."""
    return "none" if value is None else re.sub(r"\bkind=(?=\w)", "", cell(value)).replace("=", " ")


def named(value: Any) -> Any:
    """Numbers as they are, so that columns of them are known as such; all else by `value_label`."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number else value_label(value)


def _plain(value: Any) -> str:
    return cell(value) or "none"
