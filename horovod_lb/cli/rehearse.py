"""`hlb rehearse`: a study on a batch system that is played on this machine."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from horovod_lb.batch.shape import Options
from horovod_lb.batch.submit import Plan
from horovod_lb.cli import jobs
from horovod_lb.cli.rehearsing import Miniature, Rehearsal, miniature, portable, site_for
from horovod_lb.cli.watch import watch_study
from horovod_lb.runs import runs_root
from horovod_lb.runs.summary import Summary
from horovod_lb.study import RunSpec
from horovod_lb.sweep.machine import cores

_ACCOUNT = "REHEARSAL"
# A study whose runs need more submissions than the plan says does not come to an end.
_SUBMISSIONS = 20


def rehearse(
    study: jobs.StudyFile,
    machine: jobs.MachineName = None,
    account: jobs.Account = None,
    queue: jobs.Queue = None,
    walltime: jobs.WallTime = None,
    set_: jobs.Changes = None,
    where: jobs.Where = None,
    workers: jobs.Workers = None,
    pack: jobs.Pack = 1,
    side_by_side: jobs.SideBySide = None,
    throttle: jobs.Throttle = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of every run. Default: 1, or its longest warmup.")
    ] = None,
    ranks: Annotated[
        int | None, typer.Option(min=1, help="Ranks that really start for a run. Default: a rank a core.")
    ] = None,
    minute: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="How long a minute of wall time lasts here.")
    ] = 60.0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for runs and tables. Default: rehearsal/ where runs are.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the stand-ins with their job table.")] = False,
) -> None:
    """Send a study through a played batch system: same scripts and limits, few ranks, few epochs."""
    from horovod_lb.data import require

    small = miniature(study, set_ or (), where, epochs)
    site_machine = jobs.the_machine(machine, study, account, queue)
    notes = list(small.notes)
    if site_machine.account_required and site_machine.account is None:
        site_machine = jobs.the_machine(machine, study, _ACCOUNT, queue)
        notes.append(f"an account is needed there: {_ACCOUNT} is made up (--account)")
    for data in {str(spec.spec["data"]): spec.spec["data"] for spec in small.runs}.values():
        require(data)
    played, left_out = portable(site_machine)
    if left_out:
        notes.append(f"left out, as only the site has it: {', '.join(left_out)}")
    site = site_for(played, ranks=ranks or cores(), cores=max(ranks or 1, cores()), minute=minute)
    notes.append(f"at most {site.ranks} of a run's ranks start, with the same groups and so the same recipe")
    rehearsal = Rehearsal(out or runs_root(None) / "rehearsal", small.name, played, site)
    options = Options(
        workers=workers,
        walltime=jobs.walltime_minutes(walltime),
        pack=pack,
        side_by_side=side_by_side,
        throttle=throttle,
    )
    print(f"{played.name} is played in {rehearsal.root}: {'; '.join(notes)}.")
    signal.signal(signal.SIGTERM, _as_interrupt)
    with rehearsal.open():
        whole = rehearsal.plan(small.whole, options, jobs.Terminal(quiet=True))
        unfinished = _work(small.runs, rehearsal, options)
    _finish(study, small, rehearsal, whole, where)
    if keep:
        print(f"Stand-ins: {rehearsal.folder / 'bin'}; first on PATH, they answer for these jobs.")
    else:
        rehearsal.remove()
    raise typer.Exit(1 if unfinished else 0)


def _as_interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _work(runs: Sequence[RunSpec], rehearsal: Rehearsal, options: Options) -> int:
    """Submits and watches until every run has ended; returns how many have no result."""
    names = {run.run_id for run in runs}
    summaries: list[Summary] = []
    for number in range(_SUBMISSIONS):
        if number:
            print("No job is left and not every run has ended: hlb submit again, as one would there.")
        if not rehearsal.send(runs, options, jobs.Terminal()).jobs and number:
            break
        found, _ = watch_study(rehearsal.study, None, 2.0)
        summaries = [one for one in found if one.run_id in names]
        if all(one.state.final for one in summaries):
            break
    return sum(not one.state.has_result for one in summaries)


def _finish(study: Path, small: Miniature, rehearsal: Rehearsal, whole: Plan, where: str | None) -> None:
    """Tables of the miniature, and what the whole would have been."""
    from horovod_lb.cli.collect import show, write_tables

    results, folder = write_tables(
        str(study), [rehearsal.root], rehearsal.study / "results", list(small.changes), where
    )
    show(results)
    print(f"Tables: {folder} (of the miniature, no results of the study)")
    for line in rehearsal.history():
        print(f"Rehearsed: {line}.")
    sent = sum(job.elements * job.links for job in whole.jobs)
    nodes = max((job.request.nodes for job in whole.jobs), default=0)
    later = f", {len(whole.left)} of the runs later, when the queue has room" if whole.left else ""
    print(
        f"On {rehearsal.machine.name} the study itself is {jobs.count(len(small.whole), 'run')} in "
        f"{jobs.count(sent, 'job')} of up to {jobs.count(nodes, 'node')}{later}: at most "
        f"{whole.node_hours:,.1f} node-hours, expected {whole.expected:,.1f}."
    )
