"""`metrics.csv`, a row an epoch, and `steps.csv`, a row a step: appended; a partial last line is ignored."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from horovod_lb.runs.atomic import append_line, append_lines, read_lines, write_text

COLUMNS = (
    "epoch",
    "step",
    "learning_rate",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "images_per_second",
    "seconds",
)
_COUNTS = ("epoch", "step")


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of `path` in order: epoch and step as int, other numbers as float, empty cells as None.

    Lines that are no row of this table are left out; no file: no rows.
    """
    lines = csv.reader(read_lines(path))
    header = next(lines, [])
    return [
        dict(zip(header, map(_parse, header, cells), strict=True))
        for cells in lines
        if len(cells) == len(header)
    ]


def last(path: Path) -> dict[str, Any]:
    """The last row of `path`, without reading the meaning of those before it; empty where there is none."""
    lines = read_lines(path)
    cells = list(csv.reader([lines[0], lines[-1]])) if len(lines) > 1 else [[], []]
    header, row = cells
    return {name: _parse(name, cell) for name, cell in zip(header, row, strict=False)}


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Appends `row`; columns beyond `COLUMNS` are measurements, and a new one is empty in the rows before."""
    header = next(csv.reader(read_lines(path)), [])
    added = [name for name in (*COLUMNS, *row) if name not in header]
    if added:
        columns = list(dict.fromkeys([*header, *added]))
        write_text(path, _text(columns, [*read(path), row]))
    else:
        append_line(path, _line([row.get(name) for name in header]))


def append_steps(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Appends `rows` of `steps.csv`, all with the same columns, `step` first."""
    if not rows:
        return
    columns = list(rows[0])
    lines = [_line([row[name] for name in columns]) for row in rows]
    if not path.exists():
        write_text(path, "\n".join([_line(columns), *lines]) + "\n")
    else:
        append_lines(path, lines)


def truncate(path: Path, last: int, column: str = "epoch") -> None:
    """Drops the rows whose `column` is after `last`: what a life wrote beyond the checkpoint that the next
    starts from.
    """
    rows = read(path)
    kept = [row for row in rows if row[column] is not None and row[column] <= last]
    if len(kept) < len(rows):
        write_text(path, _text(list(rows[0]), kept))


def restore(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Makes the table hold `rows` and no others; nothing is written where it does."""
    columns = list(dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)]))
    found = read(path)
    if _text(columns, found) != _text(columns, rows):
        write_text(path, _text(columns, rows))


def _text(columns: list[str], rows: Iterable[Mapping[str, Any]]) -> str:
    lines = [_line(columns), *(_line([row.get(name) for name in columns]) for row in rows)]
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow([_cell(value) for value in cells])
    return buffer.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if hasattr(value, "item"):  # a NumPy scalar
        value = value.item()
    return repr(value) if isinstance(value, float) else str(value).replace("\n", " ")


def _parse(column: str, cell: str) -> Any:
    if cell == "":
        return None
    try:
        return int(cell) if column in _COUNTS else float(cell)
    except ValueError:
        return cell
