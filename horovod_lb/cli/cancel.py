"""`hlb cancel`: stop runs for good, wherever they run or wait."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from horovod_lb.cli.confirm import confirm
from horovod_lb.cli.folders import find_runs, study_folder
from horovod_lb.cli.status_table import counted
from horovod_lb.cli.summaries import following, read
from horovod_lb.errors import RunDirectoryError
from horovod_lb.runs import RunDirectory, State
from horovod_lb.runs.summary import Summary

if TYPE_CHECKING:
    from horovod_lb.batch.cancel import Plan

Target = Annotated[
    str, typer.Argument(metavar="STUDY", help="Study file, name of a study, or folder of its runs.")
]
Chosen = Annotated[
    list[str] | None, typer.Argument(metavar="[RUN]...", help="The beginnings of runs' ids. Default: all.")
]
Runs = Annotated[Path | None, typer.Option(help="Folder of all runs. Default: $HLB_RUNS, else runs.")]
Where = Annotated[
    str | None, typer.Option(metavar="EXPR", help="Only runs for which this holds: study keys, state, job.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]

_SHOWN = 20


def cancel(
    study: Target,
    run: Chosen = None,
    runs: Runs = None,
    where: Where = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Stop runs for good, and their jobs: the alive write a checkpoint first, the waiting do not begin."""
    from horovod_lb.batch import cancel as batch

    folder = study_folder(study, runs)
    jobs = following(folder)
    named = find_runs(folder, run or [])
    found = [one for one in read(folder, where, jobs) if not named or one.run_id in named]
    # What has its mark already may still have a job.
    marked = {one.run_id for one in found if RunDirectory(folder / one.run_id).cancel_requested()}
    chosen = [one for one in found if one.run_id in marked or not one.state.final]
    plan = batch.plan(jobs, [one.run_id for one in chosen]) if jobs else batch.Plan()
    if jobs and jobs.problem:
        print(f"hlb: {jobs.problem}", file=sys.stderr)
    if marked.issuperset(one.run_id for one in chosen) and not plan.jobs:
        print(f"nothing to cancel in {folder}: {counted(found)}")
        return
    _say_plan(chosen, plan)
    if dry_run:
        for command in plan.commands().values():
            print(shlex.join(command.argv))
        return
    confirm(f"Cancel {_runs(len(chosen))}?", yes)
    unmarked = _mark(folder, chosen)
    problems = batch.carry_out(plan)
    for name, refs in plan.jobs.items():
        if name not in problems:
            print(f"{name}: cancelled {_jobs(list(map(str, refs)))}")
    if problems:
        _say_left(plan, problems)
    if problems or plan.nameless or unmarked:
        raise typer.Exit(1)


def _mark(folder: Path, chosen: list[Summary]) -> str | None:
    """Marks the runs; returns why one could not be marked. Their jobs must end all the same."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    shown = track(chosen, "Marking", console=console, transient=True, disable=not console.is_terminal)
    marked = []
    try:
        for one in shown:
            RunDirectory(folder / one.run_id).request_stop(cancel=True)
            marked.append(one)
    except RunDirectoryError as error:
        print(f"hlb: {error}", file=sys.stderr)
        print(
            f"hlb: {_runs(len(chosen) - len(marked))} not marked: `hlb submit` would send them again; repeat "
            "`hlb cancel`",
            file=sys.stderr,
        )
        return str(error)
    finally:
        if marked:
            print(f"{_runs(len(marked))} marked: {_what_follows(marked)}")
    return None


def _say_plan(chosen: list[Summary], plan: Plan) -> None:
    print(counted(chosen))
    for name, refs in plan.jobs.items():
        print(f"{name}: {_jobs(list(map(str, refs)))} to cancel")
    for ref, number in plan.shared.items():
        print(f"job {ref} goes on for other runs; {_runs(number)} in it will end by the mark")
    for job in plan.nameless:
        print(f"job {job} has no id yet: when it has, `hlb cancel` again cancels it, too")


def _what_follows(chosen: list[Summary]) -> str:
    states = Counter(one.state is State.RUNNING for one in chosen)
    words = []
    if states[True]:
        words.append(f"{states[True]} running will stop with a checkpoint")
    if states[False]:
        words.append(f"{states[False]} will not begin again" if words else "they will not begin again")
    return ", ".join(words)


def _say_left(plan: Plan, problems: dict[str, str]) -> None:
    """What is still to do by hand, and how."""
    for name, problem in problems.items():
        refs = list(map(str, plan.jobs[name]))
        command = shlex.join(plan.commands()[name].argv)
        print(f"hlb: {problem}", file=sys.stderr)
        print(
            f"hlb: the marks are there, so the runs will end, but {_jobs(refs)} may still have to be "
            f"cancelled: repeat `hlb cancel`, or give the command yourself:\n    {command}",
            file=sys.stderr,
        )


def _jobs(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"job{'s' if len(names) > 1 else ''} {shown}{more}"


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number:,} runs"
