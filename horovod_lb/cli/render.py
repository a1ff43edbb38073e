"""`hlb render`: the job scripts of a study in a folder, to read or to send by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from horovod_lb.cli import jobs

SHOWN = 10


def render(
    study: jobs.StudyFile,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for scripts and lists, a new one.", show_default=False)
    ],
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
    max_failures: jobs.MaxFailures = None,
    tensorboard: jobs.TensorBoard = False,
    timeline: jobs.Timeline = False,
    as_json: jobs.Json = False,
) -> None:
    """Write the job scripts of a study and make its run folders; nothing is sent.

    Needs no scheduler. `hlb status` sees what such jobs leave in the run folders, but not the jobs: for that
    there is `hlb submit`.
    """
    from horovod_lb.batch.arrange import plan_jobs
    from horovod_lb.batch.folders import create_runs, scripts, study_folder, write_jobs
    from horovod_lb.batch.shape import Options
    from horovod_lb.errors import RequestError
    from horovod_lb.runs import traces
    from horovod_lb.study import expand, load_study, select

    loaded = load_study(study, set_ or ())
    chosen = select(expand(loaded), where)
    if not chosen:
        raise RequestError(f"--where {where}: no run of {study} is chosen; `hlb plan` shows them all")
    site = jobs.the_machine(machine, study, account, queue)
    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RequestError(f"--out {out}: is there already and not empty; name a new folder, or remove it")
    options = Options(
        workers=workers,
        walltime=jobs.walltime_minutes(walltime),
        pack=pack,
        side_by_side=side_by_side,
        throttle=throttle,
        max_failures=max_failures,
        environment=traces.environment(tensorboard=tensorboard, timeline=timeline),
    )
    specs = [spec.spec for spec in chosen]
    planned = plan_jobs(specs, site, folder=out, options=options)
    folder = study_folder(runs, site, loaded.name)
    say = jobs.Terminal()
    with say.progress("Job scripts", len(planned)) as progress:
        texts = scripts(planned, progress=progress)
    with say.progress("Run folders", len(specs)) as progress:
        create_runs(folder, specs, progress=progress)
    write_jobs(out, folder, planned, texts)
    if as_json:
        found = [{**jobs.job_json(job), "commands": jobs.commands(job, site, out)} for job in planned]
        print(json.dumps({"out": str(out), "runs": str(folder), "jobs": found}, indent=1))
        return
    jobs.print_jobs(planned)
    print(f"{jobs.count(len(planned), 'script')} in {out}, run folders in {folder}. To send them by hand:")
    for job in planned[:SHOWN]:
        for command in jobs.commands(job, site, out, short=True):
            print(f"  {command}")
    if len(planned) > SHOWN:
        print(f"  ... and so on to {planned[-1].script}; --json prints all commands")
    if any(job.links > 1 for job in planned):
        print(f"{jobs.PREVIOUS}: the id that the scheduler gave the job before it.")
