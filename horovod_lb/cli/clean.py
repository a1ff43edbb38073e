"""`hlb clean`: free what runs have left behind on the disk."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from horovod_lb.cli.confirm import confirm
from horovod_lb.cli.folders import study_folder
from horovod_lb.cli.leftovers import Kind, Leftover, find, free, readable
from horovod_lb.cli.summaries import following
from horovod_lb.cli.table import print_table

Target = Annotated[
    str, typer.Argument(metavar="STUDY", help="Study file, name of a study, or folder of its runs.")
]
Runs = Annotated[Path | None, typer.Option(help="Folder of all runs. Default: $HLB_RUNS, else runs.")]
Checkpoints = Annotated[bool, typer.Option("--checkpoints", help="Checkpoints of runs that have a result.")]
Segments = Annotated[
    bool, typer.Option("--segments", help="Logs of all lives but the newest, of launchers of finished runs.")
]
Failed = Annotated[
    bool, typer.Option("--failed", help="Folders of failed and cancelled runs, of lost ones to begin anew.")
]
Submissions = Annotated[
    bool, typer.Option("--submissions", help="Scripts and logs of submissions that are over.")
]
Everything = Annotated[bool, typer.Option("--all", help="All of these.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")]

_SHOWN = 20


def clean(
    study: Target,
    runs: Runs = None,
    checkpoints: Checkpoints = False,
    segments: Segments = False,
    failed: Failed = False,
    submissions: Submissions = False,
    everything: Everything = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Free what runs have left behind; without options, show what there is. Results are never deleted."""
    folder = study_folder(study, runs)
    wanted = {
        Kind.CHECKPOINTS: checkpoints,
        Kind.SEGMENTS: segments,
        Kind.FAILED: failed,
        Kind.SUBMISSIONS: submissions,
    }
    kinds = [kind for kind, chosen in wanted.items() if chosen or everything]
    jobs = following(folder, every_job=True)
    found = list(find(folder, jobs))
    if jobs is not None and jobs.problem:
        print(f"hlb: {jobs.problem}; what may still be needed is left alone", file=sys.stderr)
    chosen = [leftover for leftover in found if leftover.kind in kinds]
    if not (chosen if kinds else found):
        print(f"nothing to delete in {folder}")
        return
    if not kinds:
        _overview(found)
        print("nothing was deleted; choose by these options, or --all")
        return
    _list(chosen)
    if dry_run:
        return
    confirm(f"Delete them ({_size(chosen)})?", yes)
    _delete(chosen)


def _overview(found: Sequence[Leftover]) -> None:
    rows = []
    for kind in Kind:
        some = [leftover for leftover in found if leftover.kind is kind]
        rows.append((kind.value, f"{len(some):,}", _size(some) if some else "", kind.option if some else ""))
    print_table(("left behind", "count", "size", "freed by"), rows, right=("count", "size"))


def _list(chosen: Sequence[Leftover]) -> None:
    for kind in Kind:
        some = [leftover for leftover in chosen if leftover.kind is kind]
        if some:
            print(f"{kind.value}: {len(some):,}, {_size(some)}")
        for leftover in some[:_SHOWN]:
            print(f"    {leftover.about}  {readable(leftover.size)}")
        if len(some) > _SHOWN:
            print(f"    and {len(some) - _SHOWN:,} more")


def _delete(chosen: Sequence[Leftover]) -> None:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    shown = track(chosen, "Deleting", console=console, transient=True, disable=not console.is_terminal)
    freed = [leftover for leftover in shown if free(leftover)]
    print(f"deleted: {_size(freed)}")
    if len(freed) < len(chosen):
        print(f"{len(chosen) - len(freed)} left alone: their runs have come to life meanwhile")


def _size(some: Sequence[Leftover]) -> str:
    return readable(sum(leftover.size for leftover in some))
