"""`hlb status`: where the runs of a study stand."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from horovod_lb.cli.folders import study_folder
from horovod_lb.errors import RunDirectoryError
from horovod_lb.runs import RunDirectory, State, run_directories
from horovod_lb.runs.summary import Summary, duration, label, summarize

if TYPE_CHECKING:
    from horovod_lb.study.expression import Expression

Target = Annotated[
    str, typer.Argument(metavar="STUDY", help="Study file, name of a study, or folder of its runs.")
]
Runs = Annotated[Path | None, typer.Option(help="Folder of all runs. Default: $HLB_RUNS, else runs.")]
Where = Annotated[
    str | None,
    typer.Option(metavar="EXPR", help="Only runs for which this holds: study keys, state, epoch, accuracy."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

COLUMNS = ("run", "point", "state", "epoch", "accuracy", "images/s", "left", "")
_RIGHT = COLUMNS[3:7]
# A rich table measures every cell; beyond so many rows nobody waits for that.
_MANY = 500
_ERROR_WIDTH = 90
_COLOURS = {
    State.RUNNING: "cyan",
    State.COMPLETED: "green",
    State.DIVERGED: "yellow",
    State.FAILED: "red",
    State.LOST: "red",
}


def status(study: Target, runs: Runs = None, where: Where = None, as_json: Json = False) -> None:
    """Show how far the runs of a study are."""
    folder = study_folder(study, runs)
    summaries = sorted(read(folder, where), key=_order)
    counts = Counter(str(summary.state) for summary in summaries)
    if as_json:
        found = {"folder": str(folder), "counts": counts, "runs": [asdict(summary) for summary in summaries]}
        print(json.dumps(found, indent=1))
        return
    rows = [_cells(summary) for summary in summaries]
    if sys.stdout.isatty() and len(rows) <= _MANY:
        _print_rich(rows, summaries)
    else:
        _print_plain(rows)
    print(f"{len(rows)} runs: {', '.join(f'{number} {state}' for state, number in counts.most_common())}")


def read(folder: Path, where: str | None = None) -> list[Summary]:
    """The summaries of the runs in `folder` for which `where` holds."""
    condition = None
    if where is not None:
        from horovod_lb.study.expression import Expression

        condition = Expression(where)
    summaries = (_summary(run, condition) for run in run_directories(folder))
    return [summary for summary in summaries if summary is not None]


def _summary(run: RunDirectory, condition: Expression | None) -> Summary | None:
    try:
        spec = run.read_spec()
        summary = summarize(run, spec)
    except (RunDirectoryError, KeyError) as error:
        text = str(error) if isinstance(error, RunDirectoryError) else f"run.json has no key {error}"
        return Summary(run.path.name, {}, None, State.UNKNOWN, error=text)
    if condition is None:
        return summary
    known = {"state": str(summary.state), "epoch": summary.epoch, "accuracy": summary.accuracy}
    return summary if condition({**spec.get("derived", {}), **spec, **known}) else None


def _order(summary: Summary) -> list[Any]:
    """Numbers by size, before texts; the seed last."""
    values = [*summary.point.values(), -1 if summary.seed is None else summary.seed]
    return [
        (isinstance(value, str), value if isinstance(value, int | float | str) else 0) for value in values
    ]


def _cells(summary: Summary) -> tuple[str, ...]:
    epoch = "" if summary.epoch is None else str(summary.epoch)
    if epoch and summary.epochs is not None:
        epoch += f"/{summary.epochs}"
    return (
        summary.run_id[:8],
        label(summary.point, summary.seed),
        str(summary.state),
        epoch,
        "" if summary.accuracy is None else f"{summary.accuracy:.4f}",
        "" if summary.images_per_second is None else f"{summary.images_per_second:,.0f}",
        duration(summary.seconds_left),
        (summary.error or "")[:_ERROR_WIDTH],
    )


def _print_plain(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    for row in (COLUMNS, *rows):
        cells = (
            cell.rjust(width) if name in _RIGHT else cell.ljust(width)
            for name, cell, width in zip(COLUMNS, row, widths, strict=True)
        )
        print("  ".join(cells).rstrip())


def _print_rich(rows: Sequence[Sequence[str]], summaries: Sequence[Summary]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="right" if name in _RIGHT else "left")
    for row, summary in zip(rows, summaries, strict=True):
        style = _COLOURS.get(summary.state, "")
        table.add_row(
            *(
                Text(cell, style=style if name == "state" else "")
                for name, cell in zip(COLUMNS, row, strict=True)
            )
        )
    Console().print(table)
