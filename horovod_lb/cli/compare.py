"""`hlb compare`: two studies, or the runs of one parted in two, point by point."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from horovod_lb.cli.collect import Runs, Where, watch_reading
from horovod_lb.errors import RequestError

if TYPE_CHECKING:
    from horovod_lb.analysis import Results
    from horovod_lb.analysis.compare import Comparison

_STYLES = {"bad": "red", "none": "dim"}

First = Annotated[
    str,
    typer.Argument(metavar="A", help="Study file, folder of run folders, folder of results, or study name."),
]
Second = Annotated[str | None, typer.Argument(metavar="[B]", help="The same; every difference is B minus A.")]
By = Annotated[
    str | None,
    typer.Option(
        "--by", metavar="COLUMN", help="Part the runs of A by a column of runs.csv with two values."
    ),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option("--ignore", metavar="AXIS", help="Match points without this axis; may be given again."),
]
Unpaired = Annotated[bool, typer.Option("--unpaired", help="Do not pair runs by their seeds.")]
Out = Annotated[Path | None, typer.Option("--out", help="Also write compare.csv, .md and .tex there.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def compare(
    first: First,
    second: Second = None,
    by: By = None,
    ignore: Ignore = None,
    unpaired: Unpaired = False,
    where: Where = None,
    runs: Runs = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Show how two studies, or two versions of the code, differ: accuracies with intervals, and settings."""
    if (second is None) == (by is None):
        raise RequestError("compare two studies, or the runs of one with --by COLUMN, e.g. --by code")
    from horovod_lb.analysis.compare import compare as compare_results
    from horovod_lb.analysis.parting import part

    a = _results(first, runs, where)
    if by is not None:
        parts = part(a, by)
        found = compare_results(
            *parts.results,
            parts.names,
            ignore=(*parts.axes, *(ignore or ())),
            unpaired=unpaired,
            said=parts.notes,
        )
    else:
        b = _results(str(second), runs, where)
        found = compare_results(
            a, b, _names(first, a, str(second), b), ignore=ignore or (), unpaired=unpaired
        )
    if out:
        found.write(out)
    if as_json:
        print(json.dumps(found.to_json(), indent=1))
        return
    _show(found)
    if out:
        print(f"Tables: {out}")


def _results(target: str, runs: list[Path] | None, where: str | None) -> Results:
    from horovod_lb.analysis import collect, results_from_tables
    from horovod_lb.analysis.written import holds_tables

    if not holds_tables(Path(target)):
        roots = [] if Path(target).is_dir() else runs or ()
        # States of the code are what is compared here: they are named where they differ.
        return collect(target, roots, where=where, watch=watch_reading, allow_dirty=True)
    results = results_from_tables(target)
    return results.only(where) if where else results


def _names(first: str, a: Results, second: str, b: Results) -> tuple[str, str]:
    """The studies' names; of one study in two places, the places."""
    for names in (
        (a.source.name, b.source.name),
        (Path(first).resolve().name, Path(second).resolve().name),
        (Path(first).resolve().parent.name, Path(second).resolve().parent.name),
        (first, second),
    ):
        if names[0] != names[1]:
            return names
    return "A", "B"


def _show(found: Comparison) -> None:
    from horovod_lb.analysis.present import mark
    from horovod_lb.analysis.table import text
    from horovod_lb.cli.table import print_table

    for number, (_, caption, table) in enumerate(found.presented()):
        if number:
            print()
        rows = [[text(row.get(name)) for name in table.columns] for row in table.rows]
        right = set(table.columns) if number == 0 else set()
        styles = {value: _STYLES[mark(value)] for row in rows for value in row if mark(value)}
        print_table(table.columns, rows, right=right, colours=styles)
        print(caption)
    print()
    for note in found.notes():
        print(note)
