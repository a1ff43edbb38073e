"""`hlb doctor`: is everything there, and does the scheduler answer?"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from horovod_lb.checks import Finding

Machine = Annotated[
    str | None, typer.Option(help="Machine profile. Default: $HLB_MACHINE, else config.toml.")
]
Study = Annotated[Path | None, typer.Option(help="Study file: profiles in machines/ beside it count too.")]
Runs = Annotated[Path | None, typer.Option(help="Folder of all runs. Default: $HLB_RUNS, else runs.")]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds that importing TensorFlow may take.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

COLOURS = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def doctor(
    machine: Machine = None,
    study: Study = None,
    runs: Runs = None,
    timeout: Timeout = 120,
    as_json: Json = False,
) -> None:
    """Check this login node: what is installed, what the scheduler answers, and what to do."""
    from horovod_lb.checks.doctor import examine
    from horovod_lb.runs import runs_root

    findings = list(_watched(examine(machine, study=study, runs=runs_root(runs), import_seconds=timeout)))
    show(findings, as_json)


def show(findings: list[Finding], as_json: bool) -> None:
    """Prints the table and how it came out; ends with status 1 where there is a problem."""
    from horovod_lb.checks import State, worst
    from horovod_lb.cli.table import print_table

    state = worst(findings)
    if as_json:
        print(json.dumps({"state": state, "checks": [asdict(finding) for finding in findings]}, indent=1))
    else:
        rows = [(found.check, str(found.state), found.seen, found.remedy) for found in findings]
        print_table(("check", "state", "seen", "what to do"), rows, colours=COLOURS)
        print(verdict(findings))
    if state == State.PROBLEM:
        raise typer.Exit(1)


def verdict(findings: Iterable[Finding]) -> str:
    """How many problems and warnings there are, as a sentence."""
    states = [str(finding.state) for finding in findings]
    counts = [
        f"{number} {state}{'s' if number > 1 else ''}"
        for state in ("problem", "warning")
        if (number := states.count(state))
    ]
    return f"{len(states)} checks: " + (", ".join(counts) if counts else "all is well")


def _watched(findings: Iterator[Finding]) -> Iterator[Finding]:
    """`findings`; on a terminal the line of the check before is shown while the next one takes its time."""
    live = sys.stderr.isatty()
    for finding in findings:
        if live:
            print(f"\r\x1b[K{finding.check}: {finding.state}", end="", file=sys.stderr, flush=True)
        yield finding
    if live:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
