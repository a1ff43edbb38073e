"""Tables on the terminal: rich where somebody looks, plain columns in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence

Cell = str


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    right: Collection[str] = (),
    colours: Mapping[Cell, str] | None = None,
) -> None:
    """Prints `rows` below `columns`; those in `right` are numbers; `colours` by a cell's text."""
    if sys.stdout.isatty():
        _rich(columns, rows, right, colours or {})
        return
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        cells = (
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(columns, row, widths, strict=True)
        )
        print("  ".join(cells).rstrip())


def _rich(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    right: Collection[str],
    colours: Mapping[Cell, str],
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(Text(name), justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=colours.get(cell, "")) for cell in row))
    Console().print(table)
