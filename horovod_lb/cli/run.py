"""`hlb run`: the sweep on this machine, or on the hosts of an allocation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

Study = Annotated[Path, typer.Argument(help="Study file.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Ranks a run. Default: as many as fit here and divide the groups.")
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads a rank. Default: an equal share of the cores.")
]
Hosts = Annotated[
    str | None,
    typer.Option(metavar="auto|FILE", help="Run on the allocation's hosts, or on those that a file lists."),
]
Walltime = Annotated[
    str | None,
    typer.Option(metavar="H:MM", help="Stop in time with checkpoints. Default: the end of the allocation."),
]
Runs = Annotated[Path | None, typer.Option(help="Folder of all runs. Default: $HLB_RUNS, else runs.")]
Where = Annotated[str | None, typer.Option(metavar="EXPR", help="Only runs for which this holds.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the study.")
]
Isolated = Annotated[bool, typer.Option("--isolated", help="A fresh mpirun for every run.")]
Retry = Annotated[
    bool, typer.Option("--retry-failed", help="Train failed runs again, from their checkpoints.")
]
TensorBoard = Annotated[
    bool, typer.Option("--tensorboard", help="Event files for TensorBoard in each run's folder.")
]
Timeline = Annotated[
    bool, typer.Option("--timeline", help="Horovod's timeline of each life, in its segments/<n>/.")
]
MaxFailures = Annotated[int | None, typer.Option(metavar="N", min=1, help="Stop after N failed runs.")]


def run(
    study: Study,
    workers: Workers = None,
    threads: Threads = None,
    hosts: Hosts = None,
    walltime: Walltime = None,
    runs: Runs = None,
    where: Where = None,
    set_: Changes = None,
    isolated: Isolated = False,
    retry_failed: Retry = False,
    max_failures: MaxFailures = None,
    tensorboard: TensorBoard = False,
    timeline: Timeline = False,
) -> None:
    """Train the runs of a study here or on --hosts; started again, it goes on where it stopped."""
    from horovod_lb.data import require
    from horovod_lb.errors import RequestError
    from horovod_lb.runs import runs_root, traces
    from horovod_lb.study import expand, load_study, select
    from horovod_lb.sweep import run_sweep
    from horovod_lb.sweep.deadline import seconds_left
    from horovod_lb.sweep.nodes import find_hosts

    loaded = load_study(study, set_ or ())
    chosen = select(expand(loaded), where)
    if not chosen:
        raise RequestError(f"--where {where}: no run of {study} is chosen; `hlb plan` shows them all")
    for data in {str(spec.spec["data"]): spec.spec["data"] for spec in chosen}.values():
        require(data)
    code = run_sweep(
        loaded.name,
        [spec.spec for spec in chosen],
        runs_root(runs),
        workers=workers,
        threads=threads,
        isolated=isolated,
        retry_failed=retry_failed,
        max_failures=max_failures,
        hosts=find_hosts(hosts, os.environ) if hosts else None,
        environment=traces.environment(tensorboard=tensorboard, timeline=timeline),
        seconds=_seconds(walltime) if walltime else seconds_left(os.environ),
    )
    raise typer.Exit(code)


def _seconds(walltime: str) -> float:
    from horovod_lb.errors import RequestError
    from horovod_lb.machines import minutes

    try:
        return 60.0 * minutes(walltime)
    except ValueError as error:
        raise RequestError(f"--walltime: {error}") from None
