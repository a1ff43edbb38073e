"""`hlb plan`: the runs of a study and everything that follows from them, before anything is trained."""

from __future__ import annotations

import csv
import itertools
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from horovod_lb.errors import RequestError

if TYPE_CHECKING:
    from horovod_lb.recipe import Batch
    from horovod_lb.study import RunSpec, Study

SHOWN = 40
SHOWN_WARNINGS = 10

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="Study file (.yaml).", show_default=False)]
Where = Annotated[
    str | None, typer.Option(metavar="EXPR", help="Only runs for which this holds: 'recipe.batch_size > 64'.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the study; repeatable."),
]


def plan(
    study: StudyFile,
    where: Where = None,
    set_: Set = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write the learning rate of every step.")
    ] = None,
    audit: Annotated[
        bool,
        typer.Option("--audit", help="Show what in the recipes looks like a mistake; exit code 1 if so."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the runs as JSON.")] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="Plan for K ranks a run; K divides the runs' groups."),
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help=f"Print all runs, not only the first {SHOWN}.")
    ] = False,
) -> None:
    """Show the runs of a study and what follows from it: batch, steps and learning rate.

    B is the global batch size, k the number of workers, n the examples of a group, a the groups that each
    worker accumulates in a step: on fewer workers there are more of them, and the weights stay the same.
    """
    from horovod_lb.study import expand, load_study, select

    loaded = load_study(study, set_ or ())
    every_run = expand(loaded)
    runs = select(every_run, where)
    if not runs:
        raise RequestError(f"--where {where!r}: chooses none of the study's runs")
    if audit:
        raise typer.Exit(_audit(runs, as_json))
    if as_json:
        _print_json(loaded, runs)
    else:
        _show(loaded, runs, len(runs) if show_all else SHOWN, workers)
    for warning in _warnings(loaded, every_run, runs):
        print(f"warning: {warning}", file=sys.stderr)
    if trace is not None:
        steps = write_trace(runs, trace)
        print(f"Learning rate of {steps:,} steps: {trace}", file=sys.stderr)


def _audit(runs: list[RunSpec], as_json: bool) -> int:
    """Prints what looks like a mistake, with the runs it is about; returns 1 where something does."""
    from horovod_lb.study.audit import audit

    found = audit(runs)
    if as_json:
        print(json.dumps({"findings": [finding._asdict() for finding in found]}, indent=1))
        return int(bool(found))
    for finding in found:
        about = "all runs" if len(finding.runs) == len(runs) else _count(len(finding.runs), "run")
        some = "" if len(finding.runs) == len(runs) else f": {', '.join(finding.runs[:3])}"
        some += ", ..." if some and len(finding.runs) > 3 else ""
        print(f"{finding.kind} ({about}{some})\n  {finding.message}")
    print(
        f"{_count(len(found), 'finding')} in {_count(len(runs), 'run')}" if found else "nothing looks wrong"
    )
    return int(bool(found))


def write_trace(runs: list[RunSpec], path: Path) -> int:
    """Write `run_id, step, epoch, learning_rate` for every step of `runs`; returns how many there are.

    `epoch` is the real number of epochs behind a step. The file appears whole or not at all. RequestError: it
    cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    written = 0
    try:
        with temporary.open("x", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("run_id", "step", "epoch", "learning_rate"))
            for run in _with_progress(runs):
                pace = run.resolved.timeline.steps_per_epoch
                rates = run.resolved.rate.table().tolist()
                rows = ((run.run_id, step, step / pace, rate) for step, rate in enumerate(rates))
                writer.writerows(rows)
                written += len(rates)
        temporary.replace(path)
    except OSError as error:
        raise RequestError(f"--trace {path}: cannot be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return written


def _with_progress(runs: list[RunSpec]) -> Iterable[RunSpec]:
    """`runs`, with a progress bar on a terminal if they have so many steps that writing takes a while."""
    steps = sum(run.resolved.timeline.total_steps for run in runs)
    if steps < 1_000_000 or not sys.stderr.isatty():
        return runs
    from rich.console import Console
    from rich.progress import track

    return track(runs, "Learning rates", console=Console(stderr=True), transient=True)


def _show(study: Study, runs: list[RunSpec], limit: int, workers: int | None) -> None:
    from horovod_lb.sweep.arrangement import dealing, dealt
    from horovod_lb.sweep.machine import cores

    room = cores()
    here = {run.run_id: dealing(run.spec, room, workers) for run in runs}
    points = len({json.dumps(run.point) for run in runs})
    steps = sum(run.resolved.timeline.total_steps for run in runs)
    examples = runs[0].resolved.timeline.examples
    seeds = [str(seed) for seed in dict.fromkeys(run.seed for run in runs)]
    shown = f"seeds {', '.join(seeds)}" if len(seeds) <= 10 else f"{len(seeds)} seeds"
    print(
        f"{study.name}: {_count(len(runs), 'run')} = {_count(points, 'point')}, {shown}; "
        f"{examples:,} training examples; {steps:,} steps in all"
    )
    asked = here if workers else {run.run_id: run.resolved.batch for run in runs}
    _print_table(*_table(runs[:limit], asked))
    if len(runs) > limit:
        print(f"... and {len(runs) - limit:,} more runs; --all shows them, --where chooses")
    for sentence in dealt((run.spec, here[run.run_id]) for run in runs):
        print(f"{'' if workers else 'On this machine: '}{sentence}")


def _table(runs: list[RunSpec], batches: Mapping[str, Batch]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells: id, the axes that no other column shows, seed, batch, steps, rate."""
    shown = ("recipe.batch_size", "recipe.groups", "resources.workers", "recipe.epochs")
    axes = [key for key in runs[0].point if key not in shown]
    headings = ["run", *(key.removeprefix("recipe.") for key in axes), "seed"]
    headings += ["B", "k", "n", "a", "epochs", "steps", "rate at start", "peak"]
    rows = []
    for run in runs:
        batch, line, rate = batches[run.run_id], run.resolved.timeline, run.resolved.rate
        cells = [run.run_id, *(run.point[key] for key in axes), run.seed]
        cells += [batch.batch_size, batch.workers, batch.group_size, batch.groups_per_worker]
        cells += [line.epochs, line.total_steps, rate.start, rate.peak]
        rows.append([_cell(cell) for cell in cells])
    return headings, rows


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "null" if value is None else str(value)


def _print_table(headings: list[str], rows: list[list[str]]) -> None:
    """A table with rules on a terminal, plain columns otherwise."""
    if not sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
        for line in (headings, *rows):
            print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console()
    # A table that is too wide is wrapped by the terminal rather than cut.
    wanted = console.measure(table, options=console.options.update(width=10_000)).maximum
    console.width = max(console.width, wanted)
    console.print(table)


def _print_json(study: Study, runs: list[RunSpec]) -> None:
    """One JSON object, a run a line: {study, file, runs: [{run_id, seed, point, derived, warnings}]}."""
    lines = [
        json.dumps(
            {
                "run_id": run.run_id,
                "seed": run.seed,
                "point": run.point,
                "derived": run.spec["derived"],
                "warnings": run.resolved.warnings,
            }
        )
        for run in runs
    ]
    print(f'{{"study": {json.dumps(study.name)}, "file": {json.dumps(str(study.path))}, "runs": [')
    print(",\n".join(lines))
    print("]}")


def _warnings(study: Study, every_run: list[RunSpec], runs: list[RunSpec]) -> list[str]:
    """Each warning once, with the number of the chosen `runs` it is about."""
    from horovod_lb.study import baseline_runs

    counts = Counter(itertools.chain.from_iterable(run.resolved.warnings for run in runs))
    listed = [f"{text} ({_count(count, 'run')})" for text, count in counts.items()]
    if study.baseline and not baseline_runs(study, every_run):
        listed.insert(0, "baseline: no run of the study is at it, so there is nothing to compare with")
    if len(listed) > SHOWN_WARNINGS:
        more = f"{_count(len(listed) - SHOWN_WARNINGS, 'warning')} more, all of them with --json"
        listed = [*listed[:SHOWN_WARNINGS], more]
    return listed


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
