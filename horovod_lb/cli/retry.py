"""`hlb retry`: failed, lost and cancelled runs once more."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from horovod_lb.cli import jobs
from horovod_lb.cli.folders import study_folder
from horovod_lb.cli.summaries import following, read
from horovod_lb.errors import RequestError, RunDirectoryError
from horovod_lb.runs import RunDirectory

if TYPE_CHECKING:
    from horovod_lb.batch.submission import Submission
    from horovod_lb.machines import Machine

Target = Annotated[
    str, typer.Argument(metavar="STUDY", help="Study file, name of a study, or folder of its runs.")
]
Runs = Annotated[Path | None, typer.Option(help="Folder of all runs. Default: $HLB_RUNS, else runs.")]


def retry(
    study: Target,
    where: jobs.Where = None,
    runs: Runs = None,
    machine: jobs.MachineName = None,
    account: jobs.Account = None,
    queue: jobs.Queue = None,
    walltime: jobs.WallTime = None,
    workers: jobs.Workers = None,
    pack: jobs.Pack = 1,
    side_by_side: jobs.SideBySide = None,
    throttle: jobs.Throttle = None,
    max_failures: jobs.MaxFailures = None,
    tensorboard: jobs.TensorBoard = False,
    timeline: jobs.Timeline = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be sent, and write nothing.")
    ] = False,
    as_json: jobs.Json = False,
) -> None:
    """Send failed, lost and cancelled runs again; they go on from their last checkpoint.

    On the machine and with the ranks they were sent to last, unless options say otherwise.
    """
    from horovod_lb.batch.choice import TO_RETRY
    from horovod_lb.batch.shape import Options
    from horovod_lb.batch.submission import submissions
    from horovod_lb.batch.submit import submit as send
    from horovod_lb.runs import traces

    folder = study_folder(study, runs).absolute()
    sent = submissions(folder)
    if not sent:
        raise RequestError(
            f"{folder}: no run of this study was ever submitted; `hlb run STUDY --retry-failed` trains "
            "failed runs again on this machine"
        )
    specs = _specs(folder, where)
    if not specs:
        raise RequestError(f"--where {where}: no run in {folder} is chosen; `hlb status` lists them")
    options = Options(
        workers=workers,
        ranks={run_id: job.ranks for one in sent for job in one.jobs if job.ranks for run_id in job.runs},
        walltime=jobs.walltime_minutes(walltime),
        pack=pack,
        side_by_side=side_by_side,
        throttle=throttle,
        max_failures=max_failures,
        environment=traces.environment(tensorboard=tensorboard, timeline=timeline),
        retry=True,
    )
    plan, submission = send(
        folder,
        specs,
        _machine(sent[-1], machine, account, queue),
        options=options,
        voice=jobs.Terminal(quiet=as_json),
        wanted=TO_RETRY,
        dry_run=dry_run,
    )
    if as_json:
        print(json.dumps(jobs.as_json(plan, submission, dry_run=dry_run), indent=1))
    elif dry_run:
        jobs.print_dry_run(plan)
    elif submission is not None:
        jobs.print_sent(submission, folder, None)


def _specs(folder: Path, where: str | None) -> list[dict[str, Any]]:
    """The runs in `folder` for which `where` holds, as for `hlb status`; damaged ones are passed over."""
    found = []
    for summary in read(folder, where, following(folder) if where else None):
        with suppress(RunDirectoryError):
            spec = RunDirectory(folder / summary.run_id).read_spec()
            found += [spec] if spec.get("run_id") == summary.run_id else []
    return found


def _machine(last: Submission, name: str | None, account: str | None, queue: str | None) -> Machine:
    """The machine as it was when the study was submitted last, unless another is named."""
    from horovod_lb.machines import Machine

    if name is not None:
        return jobs.the_machine(name, None, account, queue)
    changes = {key: value for key, value in {"account": account, "queue": queue}.items() if value is not None}
    return Machine.model_validate({**last.profile, **changes})
