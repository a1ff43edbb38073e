"""The tables for people: percent, `mean ± std (n)`, short names; for papers (Markdown, LaTeX), terminal and
report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from horovod_lb.analysis.points import Point
from horovod_lb.analysis.table import Table
from horovod_lb.analysis.wide import Wide, cell_text, label

SPREAD = "mean ± standard deviation (n runs)"


class Presented(NamedTuple):
    """A table with its file name (without suffix) and its caption."""

    name: str
    caption: str
    table: Table


def accuracy(grid: Wide) -> Presented:
    """Final validation accuracy, one axis down and one across."""
    caption = f"Final validation accuracy in percent, {SPREAD}."
    return Presented("accuracy", caption, grid.table(percent=True, pretty=True))


def accuracy_by_point(points: Sequence[Point], axes: Sequence[str]) -> Presented:
    """Final validation accuracy, a row a point: where there is no room for a wide table."""
    rows = [
        {
            **{label(axis): value for axis, value in point.named(axes).items()},
            "accuracy (%)": cell_text(point, percent=True),
        }
        for point in points
    ]
    caption = f"Final validation accuracy in percent, {SPREAD}."
    return Presented("accuracy_by_point", caption, Table((*map(label, axes), "accuracy (%)"), rows))


def error(grid: Wide) -> Presented:
    """Final validation error, one axis down and one across."""
    caption = f"Final validation error in percent, {SPREAD}."
    return Presented("error", caption, grid.table(error=True, percent=True, pretty=True))


def best(table: Table, axes: Sequence[str]) -> Presented:
    """`best.csv` for people."""
    shown = [axis for axis in table.columns if axis in axes]
    rows = [
        {
            **{label(axis): row[axis] for axis in shown},
            "validation accuracy (%)": _spread(row, "val_"),
            "test accuracy (%)": _spread(row, "test_"),
            "chosen from": f"{row['points']} point{'' if row['points'] == 1 else 's'}",
        }
        for row in table.rows
    ]
    parts = ("validation accuracy (%)", "test accuracy (%)")
    used = [part for part in parts if any(row[part] for row in rows)]
    columns = (*map(label, shown), *used, "chosen from")
    caption = f"Best point by final validation accuracy, in percent, {SPREAD}."
    return Presented("best", caption, Table(columns, rows))


def differences(table: Table, axes: Sequence[str], baseline: Mapping[str, Any]) -> Presented:
    """`differences.csv` for people."""
    difference, interval = "difference (percentage points)", "95 % interval"
    rows = [
        {
            **{label(axis): row[axis] for axis in axes},
            difference: _signed(row["mean_difference"]),
            interval: ""
            if row["ci95_low"] is None
            else f"{_signed(row['ci95_low'])} to {_signed(row['ci95_high'])}",
            "pairs": row["n"],
        }
        for row in table.rows
    ]
    against = ", ".join(f"{label(axis)} {value}" for axis, value in baseline.items())
    caption = f"Final validation accuracy minus the baseline's ({against}), runs paired by seed."
    return Presented("differences", caption, Table((*map(label, axes), difference, interval, "pairs"), rows))


def mark(value: str) -> str:
    """How a cell is to stand out: `bad` where runs diverged or ended at chance level, `none` where there is
    nothing yet.
    """
    if any(word in value for word in ("diverged", "at chance", "unstable")):
        return "bad"
    return "none" if value == "missing" else ""


def _spread(row: Mapping[str, Any], part: str) -> str:
    if row[f"{part}mean"] is None:
        return ""
    std = row[f"{part}std"]
    spread = "" if std is None else f" ± {100 * std:.2f}"
    return f"{100 * row[f'{part}mean']:.2f}{spread} ({row[f'{part}n']})"


def _signed(value: float | None) -> str:
    # Adding zero turns the -0.0 of a rounded small number into 0.0.
    return "" if value is None else f"{round(100 * value, 2) + 0.0:+.2f}".replace("-", "−")
