"""`hlb collect`: run folders to tables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from horovod_lb.analysis import Results

Target = Annotated[
    str, typer.Argument(metavar="STUDY|FOLDER", help="Study file, folder of run folders, or study name.")
]
Runs = Annotated[
    list[Path] | None,
    typer.Option("--runs", help="Folder of all runs; may be given again. Default: $HLB_RUNS, else runs."),
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder for the results. Default: results/<study>.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the study file, as for `hlb run`."),
]
Where = Annotated[
    str | None,
    typer.Option("--where", metavar="EXPR", help="Only the runs for which this holds, e.g. 'seed < 3'."),
]


def collect(
    target: Target, runs: Runs = None, out: Out = None, set_: Set = None, where: Where = None
) -> None:
    """Gather runs in whatever state they are into the result tables, and print the accuracy table."""
    results, folder = write_tables(target, runs, out, set_, where)
    show(results)
    print(f"Tables: {folder}")


def write_tables(
    target: str, runs: list[Path] | None, out: Path | None, overrides: list[str] | None, where: str | None
) -> tuple[Results, Path]:
    """Collects `target` and writes its tables; returns the results and their folder."""
    from horovod_lb.analysis import collect as gather_results

    results = gather_results(target, runs or (), overrides=overrides or (), where=where)
    folder = out or Path("results") / results.source.name
    results.write(folder)
    return results, folder


def show(results: Results) -> None:
    """Prints the accuracy table: coloured on a terminal, plain columns otherwise; then what a reader must
    know.
    """
    from horovod_lb.analysis import present
    from horovod_lb.analysis.table import text

    _, caption, table = present.accuracy(results.grid)
    rows = [[text(row.get(name)) for name in table.columns] for row in table.rows]
    if sys.stdout.isatty():
        _show_rich(list(table.columns), rows)
    else:
        widths = [max(map(len, column)) for column in zip(table.columns, *rows, strict=True)]
        for line in (list(table.columns), *rows):
            print("  ".join(value.rjust(width) for value, width in zip(line, widths, strict=True)))
    print(caption)
    for note in results.notes():
        print(note)


def _show_rich(columns: list[str], rows: list[list[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    from horovod_lb.analysis.present import mark

    styles = {"bad": "red", "none": "dim"}
    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(Text(name), justify="right")
    for row in rows:
        table.add_row(*(Text(value, style=styles.get(mark(value), "")) for value in row))
    Console().print(table)
