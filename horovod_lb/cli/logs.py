"""`hlb logs`: what a run has said, and which errors the runs of a study ended with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from horovod_lb.cli import log_source
from horovod_lb.cli.folders import find_run, study_folder
from horovod_lb.cli.log_follow import follow_run, print_log
from horovod_lb.cli.log_source import Source
from horovod_lb.cli.summaries import following
from horovod_lb.errors import RequestError
from horovod_lb.runs import RunDirectory

Target = Annotated[
    str, typer.Argument(metavar="STUDY", help="Study file, name of a study, or folder of its runs.")
]
Runs = Annotated[Path | None, typer.Option(help="Folder of all runs. Default: $HLB_RUNS, else runs.")]
Prefix = Annotated[str | None, typer.Argument(metavar="[RUN]", help="The beginning of a run's id.")]
Tail = Annotated[int | None, typer.Option(metavar="N", min=0, help="Only the last N lines.")]
Rank = Annotated[int, typer.Option(min=0, help="Which rank's log.")]
LifeOption = Annotated[
    int | None, typer.Option("--life", min=1, help="Which life of the run. Default: the newest.")
]
AllLives = Annotated[bool, typer.Option("--all-lives", help="The logs of all lives, in order.")]
Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Go on until the run has ended, through all its lives.")
]
OfJob = Annotated[bool, typer.Option("--job", help="The log of the run's batch job.")]
Errors = Annotated[
    bool, typer.Option("--errors", help="Failed and lost runs with the last error lines of all ranks.")
]


def logs(
    study: Target,
    run: Prefix = None,
    runs: Runs = None,
    tail: Tail = None,
    rank: Rank = 0,
    life: LifeOption = None,
    all_lives: AllLives = False,
    follow: Follow = False,
    job: OfJob = False,
    errors: Errors = False,
) -> None:
    """Print or follow the log of a run or of its batch job, or show the errors of a study's runs."""
    folder = study_folder(study, runs)
    if errors:
        from horovod_lb.cli.log_errors import print_errors

        print_errors(folder, find_run(folder, run).path.name if run else None)
        return
    if run is None:
        raise RequestError("whose log? Name a RUN by the beginning of its id, or ask for --errors")
    found = find_run(folder, run)
    look = _look(found, rank, life, job)
    source = look()
    if source is None and not follow:
        raise RequestError(_nothing(found, job))
    if source is not None and not source.path.is_file():
        if life or not follow:
            raise RequestError(f"there is no {source.path}")
        source = None
    for number in range(1, found.life_number() if all_lives else 0):
        _print_life(log_source.of_life(found, number, rank))
    length = 0
    if source is not None:
        if all_lives or not found.life_number():
            print(f"==> {source.name}", file=sys.stdout if all_lives else sys.stderr, flush=True)
        length = print_log(source.path, tail)
    if follow:
        follow_run(found, look, source, length, once=life is not None)


def _look(run: RunDirectory, rank: int, life: int | None, job: bool) -> log_source.Look:
    if job:
        return log_source.of_job(run)
    if life is not None:
        source = log_source.of_life(run, life, rank)
        return lambda: source
    return log_source.newest(run, rank)


def _print_life(source: Source) -> None:
    print(f"==> {source.name}", flush=True)
    if source.path.is_file():
        print_log(source.path, None)
    else:
        print(f"hlb: there is no {source.path}", file=sys.stderr)


def _nothing(run: RunDirectory, job: bool) -> str:
    jobs = following(run.path.parent)
    stands = ""
    if jobs is not None and jobs.sent(run.path.name):
        found = jobs.state(run.path.name)
        words = [f"it is {found.state}", f"in job {found.job}" if found.job else ""]
        stands = f" ({' '.join(filter(None, words))}{': ' if found.reason else ''}{found.reason})"
    if job:
        return f"the job of run {run.path.name} has written no log yet{stands}"
    return f"run {run.path.name} has not begun yet{stands}; it has no log"
