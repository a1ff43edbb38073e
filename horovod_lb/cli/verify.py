"""`hlb verify`: whether the tables in a folder of results are what the runs say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from horovod_lb.cli.collect import Runs, watch_reading

if TYPE_CHECKING:
    from horovod_lb.analysis.verify import Verdict

_SHOWN = 20

Folder = Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder that `hlb collect` has written.")]
Study = Annotated[
    str | None,
    typer.Option("--study", metavar="STUDY|FOLDER", help="What was collected, where it is elsewhere now."),
]


def verify(folder: Folder, runs: Runs = None, study: Study = None) -> None:
    """Make every table of RESULTS again from its runs and compare them cell by cell.

    Exit status 0: all are the same; 1: they differ, or the runs are gone.
    """
    from horovod_lb.analysis.verify import verify as made_again

    verdict = made_again(folder, runs or (), target=study, watch=watch_reading)
    for line in lines(verdict, folder):
        print(line)
    if not verdict.same:
        raise typer.Exit(1)


def lines(verdict: Verdict, folder: Path) -> list[str]:
    """What was found, for people."""
    said = [f"{name}: edited since it was written" for name in verdict.edited]
    for name, found in verdict.differences.items():
        said += [f"{name}: {text}" for text in found[:_SHOWN]]
        if len(found) > _SHOWN:
            said.append(f"{name}: and {len(found) - _SHOWN:,} more")
    said += verdict.hints
    count = f"{len(verdict.checked)} tables"
    if verdict.gone:
        tables = "others are" if verdict.edited else "tables are"
        said.append(f"The runs are gone: {verdict.gone}.")
        said.append(f"Not made again; the {tables} as they were written, by their digests.")
        said.append("Name where the runs are with --runs, or what to collect with --study.")
    elif verdict.same:
        said.append(f"All {count} in {folder} are what the runs say.")
    else:
        wrong = {*verdict.edited, *verdict.differences}
        said.append(f"{len(wrong)} of {count} in {folder} differ from what the runs say.")
    return said
