"""`hlb logs`: the log of a run."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from horovod_lb.cli.folders import find_run, study_folder
from horovod_lb.errors import RequestError
from horovod_lb.runs import RunDirectory, State, rank_log

Target = Annotated[
    str, typer.Argument(metavar="STUDY", help="Study file, name of a study, or folder of its runs.")
]
Runs = Annotated[Path | None, typer.Option(help="Folder of all runs. Default: $HLB_RUNS, else runs.")]
Prefix = Annotated[str, typer.Argument(metavar="RUN", help="The beginning of a run's id.")]
Tail = Annotated[int | None, typer.Option(metavar="N", min=0, help="Only the last N lines.")]
Rank = Annotated[int, typer.Option(min=0, help="Which rank's log.")]
LifeOption = Annotated[
    int | None, typer.Option("--life", min=1, help="Which life of the run. Default: the newest.")
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")]

_POLL_SECONDS = 0.5


def logs(
    study: Target,
    run: Prefix,
    runs: Runs = None,
    tail: Tail = None,
    rank: Rank = 0,
    life: LifeOption = None,
    follow: Follow = False,
) -> None:
    """Print or follow the log of a run."""
    found = find_run(study_folder(study, runs), run)
    number = life or found.life_number()
    if not number:
        raise RequestError(f"run {found.path.name} has not begun yet; it has no log")
    log = rank_log(found.segments / str(number), rank)
    if not log.is_file():
        raise RequestError(f"there is no {log}")
    with log.open(errors="replace") as file:
        lines = file.readlines()
        sys.stdout.writelines(lines if tail is None else lines[max(0, len(lines) - tail) :])
        while follow and _goes_on(found, number):
            sys.stdout.write(file.read())
            sys.stdout.flush()
            time.sleep(_POLL_SECONDS)
        if follow:
            sys.stdout.write(file.read())


def _goes_on(run: RunDirectory, life: int) -> bool:
    return run.life_number() == life and run.state() is State.RUNNING
