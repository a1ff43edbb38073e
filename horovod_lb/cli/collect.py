"""`hlb collect`: run folders to tables."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from horovod_lb.analysis import Results, Table
    from horovod_lb.runs import RunDirectory

_MANY = 200

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
AllowDirty = Annotated[
    bool, typer.Option("--allow-dirty", help="Mix runs of several states of the code, not all committed.")
]
Parquet = Annotated[
    bool, typer.Option("--parquet", help="Write every table as Parquet, too, with typed columns.")
]


def collect(
    target: Target,
    runs: Runs = None,
    out: Out = None,
    set_: Set = None,
    where: Where = None,
    allow_dirty: AllowDirty = False,
    parquet: Parquet = False,
) -> None:
    """Gather runs in whatever state they are into the result tables, and print the accuracy table."""
    results, folder = write_tables(target, runs, out, set_, where, allow_dirty=allow_dirty, parquet=parquet)
    show(results)
    print(f"Tables: {folder}")


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Millions of small objects come to be and none of them in a cycle: looking for cycles costs a tenth."""
    searched = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searched:
            gc.enable()


@_no_search_for_cycles()
def write_tables(
    target: str,
    runs: list[Path] | None,
    out: Path | None,
    overrides: list[str] | None,
    where: str | None,
    *,
    allow_dirty: bool = False,
    parquet: bool = False,
) -> tuple[Results, Path]:
    """Collects `target` and writes its tables; returns the results and their folder.

    What was read of each run is kept in the folder, in `.collect-cache`.
    """
    from horovod_lb.analysis import collect as gather_results
    from horovod_lb.analysis.cache import FILE_NAME, Cache
    from horovod_lb.analysis.rows import Parsed

    cache = Cache()

    def parser(name: str) -> Callable[[bytes, str], Parsed]:
        nonlocal cache
        cache = Cache.load((out or Path("results") / name) / FILE_NAME)
        return cache.parse

    results = gather_results(
        target,
        runs or (),
        overrides=overrides or (),
        where=where,
        watch=watch_reading,
        parser=parser,
        allow_dirty=allow_dirty,
    )
    folder = out or Path("results") / results.source.file_name
    results.write(folder, parquet=parquet)
    cache.save(folder / FILE_NAME, results.tables["epochs"].columns[1:])
    return results, folder


def show(results: Results) -> None:
    """Prints the accuracy table, coloured on a terminal, plain otherwise, and what a reader must know of
    it.
    """
    from horovod_lb.analysis import present
    from horovod_lb.analysis.table import text

    terminal = sys.stdout.isatty()
    shown = present.accuracy(results.grid)
    lines = _lines(shown.table, text)
    if terminal and sum(map(len, _aligned(lines)[0])) + 2 * len(lines[0]) > get_terminal_size().columns:
        shown = present.accuracy_by_point(results.points, results.axes)
        lines = _lines(shown.table, text)
    if terminal:
        _print_rich(lines)
    else:
        for line in _aligned(lines):
            print("  ".join(line))
    print(shown.caption)
    for note in results.notes():
        print(note)


def _lines(table: Table, text: Callable[[Any], str]) -> list[list[str]]:
    return [list(table.columns), *([text(row.get(name)) for name in table.columns] for row in table.rows)]


def _aligned(lines: Sequence[Sequence[str]]) -> list[list[str]]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [[value.rjust(width) for value, width in zip(line, widths, strict=True)] for line in lines]


def _print_rich(lines: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    from horovod_lb.analysis.present import mark

    styles = {"bad": "red", "none": "dim"}
    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in lines[0]:
        table.add_column(Text(name), justify="right")
    for line in lines[1:]:
        table.add_row(*(Text(value, style=styles.get(mark(value), "")) for value in line))
    Console().print(table)


def watch_reading(runs: Sequence[RunDirectory]) -> Iterable[RunDirectory]:
    """Shows a progress bar on a terminal where reading takes long enough to wonder."""
    if len(runs) < _MANY or not sys.stderr.isatty():
        return runs
    from rich.console import Console
    from rich.progress import track

    return track(runs, "Reading runs", console=Console(stderr=True), transient=True)
