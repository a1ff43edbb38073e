"""`hlb submit`: the jobs of a study, sent once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from horovod_lb.cli import jobs


def submit(
    study: jobs.StudyFile,
    machine: jobs.MachineName = None,
    account: jobs.Account = None,
    queue: jobs.Queue = None,
    walltime: jobs.WallTime = None,
    set_: jobs.Changes = None,
    where: jobs.Where = None,
    workers: jobs.Workers = None,
    runs: jobs.Runs = None,
    pack: jobs.Pack = 1,
    side_by_side: jobs.SideBySide = None,
    throttle: jobs.Throttle = None,
    pilot: Annotated[
        bool,
        typer.Option("--pilot", help="Only the cheapest run of each shape whose speed is not known yet."),
    ] = False,
    budget: Annotated[
        float | None,
        typer.Option(metavar="NODE_HOURS", min=0, help="Send nothing if the plan may cost more."),
    ] = None,
    max_failures: jobs.MaxFailures = None,
    tensorboard: jobs.TensorBoard = False,
    timeline: jobs.Timeline = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be sent, and write nothing.")
    ] = False,
    as_json: jobs.Json = False,
) -> None:
    """Send the runs of a study to a batch system; again, it sends only what is not done or on its way."""
    from horovod_lb.batch.folders import study_folder
    from horovod_lb.batch.shape import Options
    from horovod_lb.batch.submit import submit as send
    from horovod_lb.data import require
    from horovod_lb.errors import RequestError
    from horovod_lb.runs import traces
    from horovod_lb.study import expand, load_study, select

    loaded = load_study(study, set_ or ())
    chosen = select(expand(loaded), where)
    if not chosen:
        raise RequestError(f"--where {where}: no run of {study} is chosen; `hlb plan` shows them all")
    site = jobs.the_machine(machine, study, account, queue)
    for data in {str(spec.spec["data"]): spec.spec["data"] for spec in chosen}.values():
        require(data)
    options = Options(
        workers=workers,
        walltime=jobs.walltime_minutes(walltime),
        pack=pack,
        side_by_side=side_by_side,
        throttle=throttle,
        max_failures=max_failures,
        environment=traces.environment(tensorboard=tensorboard, timeline=timeline),
        budget=budget,
    )
    folder = study_folder(runs, site, loaded.name)
    plan, submission = send(
        folder,
        [spec.spec for spec in chosen],
        site,
        options=options,
        voice=jobs.Terminal(quiet=as_json),
        pilot=pilot,
        dry_run=dry_run,
    )
    if as_json:
        print(json.dumps(jobs.as_json(plan, submission, dry_run=dry_run), indent=1))
    elif dry_run:
        jobs.print_dry_run(plan)
    elif submission is not None:
        jobs.print_sent(submission, study, advised(folder.parent))


def advised(root: Path) -> Path | None:
    """What other verbs need as --runs; None where they look there anyway."""
    from horovod_lb.runs import runs_root

    return None if runs_root(None).absolute() == root else root
