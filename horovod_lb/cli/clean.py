"""`hlb clean`: delete run directories that are not wanted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from horovod_lb.cli.folders import study_folder
from horovod_lb.runs import State, run_directories
from horovod_lb.runs.directory import RunDirectory

Target = Annotated[
    str, typer.Argument(metavar="STUDY", help="Study file, name of a study, or folder of its runs.")
]
Runs = Annotated[Path | None, typer.Option(help="Folder of all runs. Default: $HLB_RUNS, else runs.")]
All = Annotated[bool, typer.Option("--all", help="All runs that are not alive, with their results.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")]


def clean(
    study: Target, runs: Runs = None, everything: All = False, yes: Yes = False, dry_run: DryRun = False
) -> None:
    """Delete the folders of failed and lost runs."""
    folder = study_folder(study, runs)
    chosen = [run for run in run_directories(folder) if _unwanted(run.state(), everything)]
    if not chosen:
        print(f"nothing to delete in {folder}")
        return
    for run in chosen:
        print(f"{run.path}  {run.state()}")
    if dry_run:
        return
    if not yes:
        typer.confirm(f"Delete these {len(chosen)} run folders?", abort=True)
    for run in chosen:
        _delete(run)
    print(f"{len(chosen)} run folders deleted")


def _unwanted(state: State, everything: bool) -> bool:
    return state is not State.RUNNING if everything else state in (State.FAILED, State.LOST)


def _delete(run: RunDirectory) -> None:
    """Out of sight at once: a run half deleted must not look like a run."""
    hidden = run.path.with_name(f".{run.path.name}.deleted")
    run.path.rename(hidden)
    shutil.rmtree(hidden)
