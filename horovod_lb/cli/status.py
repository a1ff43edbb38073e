"""`hlb status`: where the runs of a study stand."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from horovod_lb.cli.folders import study_folder
from horovod_lb.cli.status_table import counted, print_plain, print_rich
from horovod_lb.cli.summaries import following, read
from horovod_lb.errors import RequestError
from horovod_lb.runs.summary import Summary

Target = Annotated[
    str, typer.Argument(metavar="STUDY", help="Study file, name of a study, or folder of its runs.")
]
Runs = Annotated[Path | None, typer.Option(help="Folder of all runs. Default: $HLB_RUNS, else runs.")]
Where = Annotated[
    str | None,
    typer.Option(
        metavar="EXPR",
        help="Only runs for which this holds: study keys, state, epoch, accuracy, job, reason, error.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show it again until nothing runs or waits.")]
Every = Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="How often --watch looks.")]

# A rich table measures every cell; beyond so many rows nobody waits for that.
_MANY = 500


def status(
    study: Target,
    runs: Runs = None,
    where: Where = None,
    as_json: Json = False,
    watch: Watch = False,
    every: Every = 2.0,
) -> None:
    """Show how far the runs of a study are. Schedulers are asked once, for all runs together."""
    folder = study_folder(study, runs)
    if watch and as_json:
        raise RequestError("--watch is for people and --json for programs; one of them")
    if watch:
        from horovod_lb.cli.watch import watch_study

        summaries, problem = watch_study(folder, where, every)
        if not sys.stdout.isatty():
            return
    else:
        jobs = following(folder)
        summaries, problem = read(folder, where, jobs), jobs.problem if jobs else None
    if as_json:
        _print_json(folder, summaries, problem)
    else:
        show(summaries, problem)
    if problem:
        print(f"hlb: {problem}", file=sys.stderr)


def show(summaries: list[Summary], problem: str | None = None) -> None:
    """Prints a row a run, and how many there are of each state."""
    if sys.stdout.isatty() and len(summaries) <= _MANY:
        print_rich(summaries)
    else:
        print_plain(summaries)
    print(counted(summaries))
    if problem and not (sys.stdout.isatty() and sys.stderr.isatty()):
        print(f"note: {problem}")


def _print_json(folder: Path, summaries: Iterable[Summary], problem: str | None) -> None:
    """One object, see docs/following.md."""
    counts = Counter(str(summary.state) for summary in summaries)
    rows = [asdict(summary) for summary in summaries]
    found = {"folder": str(folder), "counts": counts, "problem": problem, "runs": rows}
    print(json.dumps(found, indent=1))
