"""`hlb preflight`: every rank of an allocation looks around, before anything is trained there."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from horovod_lb.checks.finding import Finding
    from horovod_lb.checks.preflight import Outcome, Rank
    from horovod_lb.machines import Machine

Name = Annotated[
    str | None, typer.Option("--machine", help="Machine profile. Default: $HLB_MACHINE, else config.toml.")
]
Ranks = Annotated[int | None, typer.Option(min=1, help="Ranks to start. Default: as many as the hosts take.")]
Hosts = Annotated[
    str, typer.Option(metavar="auto|FILE", help="Hosts: the allocation's, or a file with a host a line.")
]
Study = Annotated[Path | None, typer.Option(help="Study file: profiles in machines/ beside it count too.")]
Runs = Annotated[
    Path | None,
    typer.Option(help="Folder of all runs. Default: $HLB_RUNS, else the machine's scratch, else runs."),
]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds of silence after which the ranks are ended.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

COLUMNS = ("rank", "host", "local", "GPU", "visible", "threads", "cores", "TensorFlow", "Horovod", "came to")
_NUMBERS = ("rank", "local", "GPU", "threads")


def preflight(
    machine: Name = None,
    ranks: Ranks = None,
    hosts: Hosts = "auto",
    study: Study = None,
    runs: Runs = None,
    timeout: Timeout = 120,
    as_json: Json = False,
) -> None:
    """Let every rank of this allocation look around: GPUs, versions, network, space, traps."""
    from horovod_lb.checks import preflight as step
    from horovod_lb.checks.finding import State
    from horovod_lb.checks.hosts import tmpdir_finding
    from horovod_lb.cli.doctor import show
    from horovod_lb.machines import default_machine, load_machine

    name = machine or default_machine()
    profile = load_machine(name, study=study) if name is not None else None
    found = step.allocation(profile, None if hosts == "auto" else Path(hosts), os.environ)
    launcher = profile.launcher if profile else "mpirun"
    trap = tmpdir_finding(os.environ.get("TMPDIR"), launcher)
    if trap.state == State.PROBLEM:  # no rank would start
        show([trap], as_json)
    start, expected = step.launch(profile, found, ranks, folders(profile, runs))
    outcome = _follow(step.run(start, expected, timeout), expected)
    _show(outcome, profile, as_json)


def folders(machine: Machine | None, runs: Path | None) -> dict[str, str]:
    """The folders that one rank of each host looks at; `$NAME` in them is for the host to fill in."""
    from horovod_lb.runs import places, runs_root

    scratch = machine.storage.scratch if machine else None
    chosen = runs is not None or places.VARIABLE in os.environ or scratch is None
    found = {"runs": str(runs_root(runs).absolute()) if chosen else str(scratch), "home": "~", "tmp": "/tmp"}
    if machine is not None and machine.storage.node_local is not None:
        found["node-local"] = machine.storage.node_local
    return found


def _follow(news: Any, expected: int) -> Outcome:
    """The outcome; on a terminal how many ranks have come how far."""
    from horovod_lb.checks.preflight import STAGES, Outcome

    live = sys.stderr.isatty()
    for ranks in news:
        if isinstance(ranks, Outcome):
            if live:
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            return ranks
        if live:
            through = ", ".join(
                f"{stage} {sum(stage in rank.stages for rank in ranks)}/{expected}" for stage in STAGES
            )
            print(f"\r\x1b[K{through}", end="", file=sys.stderr, flush=True)
    raise AssertionError("the step has no outcome")


def _show(outcome: Outcome, machine: Machine | None, as_json: bool) -> None:
    from horovod_lb.checks.finding import worst
    from horovod_lb.checks.verdict import findings
    from horovod_lb.cli.doctor import show
    from horovod_lb.cli.table import print_table

    found: list[Finding] = list(findings(outcome, machine))
    if as_json:
        said = [{"rank": rank.number, "stages": rank.stages, **rank.said} for rank in outcome.ranks]
        checks = [asdict(finding) for finding in found]
        words = list(outcome.tail)
        print(
            json.dumps({"state": worst(found), "ranks": said, "checks": checks, "launcher": words}, indent=1)
        )
        raise typer.Exit(0 if worst(found) != "problem" else 1)
    if outcome.ranks:
        print_table(COLUMNS, [_cells(rank) for rank in outcome.ranks], right=_NUMBERS)
        print()
    if outcome.tail and any("launcher's words" in finding.remedy for finding in found):
        print("The launcher's words:\n  " + "\n  ".join(outcome.tail) + "\n")
    show(found, as_json)


def _cells(rank: Rank) -> Sequence[str]:
    from horovod_lb.machines.rank import ranges

    said = rank.said
    shown = said.get("variables", {})
    visible = [shown[name] for name in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES") if name in shown]
    local = said.get("local_rank", said["launched"][1])
    return (
        _text(rank.number),
        rank.host,
        _text(local),
        _text(said.get("gpu")),
        f"{visible[0] if visible else ''}{_seen(said.get('gpus'))}",
        _text(said.get("threads")),
        ranges(said.get("cores", ())),
        _text(said.get("TensorFlow")),
        _text(said.get("Horovod")),
        rank.stages[-1] + (" (failed)" if rank.error is not None else ""),
    )


def _seen(gpus: int | None) -> str:
    return "" if gpus is None else f" ({gpus} seen)"


def _text(value: Any) -> str:
    return "" if value is None else str(value)
