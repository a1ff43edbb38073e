"""Jobs for people: the options that choose them, the plan as a table, what is sent, progress."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from horovod_lb.cli.table import print_table
from horovod_lb.errors import RequestError

if TYPE_CHECKING:
    from horovod_lb.batch.planned import Planned
    from horovod_lb.batch.submission import Submission
    from horovod_lb.batch.submit import Plan
    from horovod_lb.machines import Machine

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="Study file (.yaml).", show_default=False)]
MachineName = Annotated[
    str | None, typer.Option("--machine", metavar="NAME", help="Machine profile; see `hlb machines`.")
]
Account = Annotated[str | None, typer.Option(metavar="NAME", help="Account that the jobs are charged to.")]
Queue = Annotated[str | None, typer.Option(metavar="NAME", help="Queue or partition.")]
WallTime = Annotated[str | None, typer.Option(metavar="H:MM", help="Wall time of every job.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the study; repeatable."),
]
Where = Annotated[str | None, typer.Option(metavar="EXPR", help="Only runs for which this holds.")]
Workers = Annotated[
    int | None, typer.Option(min=1, metavar="K", help="Ranks of every run; K divides its groups.")
]
Runs = Annotated[
    Path | None,
    typer.Option(help="Folder of all runs. Default: $HLB_RUNS, else the machine's scratch, else runs."),
]
Pack = Annotated[int, typer.Option(min=1, metavar="N", help="Runs that one job works through.")]
SideBySide = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="S", help="Runs of a pack at a time. Default: as many as fit on a run's nodes."
    ),
]
Throttle = Annotated[
    int | None, typer.Option(min=1, metavar="K", help="Elements of a job array that run at a time.")
]
MaxFailures = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Begin no further run after N have failed.")
]
TensorBoard = Annotated[
    bool, typer.Option("--tensorboard", help="Event files for TensorBoard in each run's folder.")
]
Timeline = Annotated[
    bool, typer.Option("--timeline", help="Horovod's timeline of each life, in its segments/<n>/.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

PREVIOUS = "PREVIOUS"
_STAND_IN = "987654321987654321"
_MANY = 20
_COLUMNS = (
    "jobs",
    "runs",
    "nodes",
    "wall time",
    "ranks",
    "segments",
    "node-hours",
    "expected",
    "run time from",
)
_RIGHT = _COLUMNS[:8]


def the_machine(name: str | None, study: Path | None, account: str | None, queue: str | None) -> Machine:
    """The machine that was named, else the default one; RequestError where there is neither."""
    from horovod_lb.machines import default_machine, load_machine

    name = name or default_machine()
    if name is None:
        raise RequestError(
            'which machine? --machine NAME, or $HLB_MACHINE, or the line machine = "NAME" in '
            "~/.config/horovod_lb/config.toml; `hlb machines` lists them"
        )
    given = {"account": account, "queue": queue}
    overrides = {key: value for key, value in given.items() if value is not None}
    return load_machine(name, study=study, overrides=overrides)


def walltime_minutes(text: str | None) -> int | None:
    """Minutes of --walltime. RequestError: it is not H:MM."""
    from horovod_lb.machines import minutes

    try:
        return None if text is None else minutes(text)
    except ValueError as error:
        raise RequestError(f"--walltime {text}: {error}") from None


class Terminal:
    """What `hlb submit` says while it works; with `quiet`, only on stderr and no plan."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet

    def say(self, sentence: str) -> None:
        """A sentence on stderr."""
        print(sentence, file=sys.stderr)

    def show(self, plan: Plan) -> None:
        """The plan, before anything is sent."""
        if not self._quiet:
            print_plan(plan)

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar on a terminal, where it may take long."""
        if total < _MANY or not sys.stderr.isatty():
            yield lambda done: None
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=total)
            yield lambda done: bar.update(task, completed=done)


def print_plan(plan: Plan) -> None:
    """What will be sent, what it costs, and what is left out."""
    for sentence in plan.choice.sentences():
        print(sentence)
    if plan.jobs:
        print_jobs(plan.jobs)
        runs = sum(len(job.run_ids) for job in plan.jobs)
        sent = sum(job.elements * job.links for job in plan.jobs)
        print(
            f"{count(runs, 'run')} in {count(sent, 'job')} on {plan.machine.name}: at most "
            f"{plan.node_hours:,.1f} node-hours, expected {plan.expected:,.1f}"
        )
        for hint in _hints(plan.jobs):
            print(hint)
    elif plan.pilot:
        print("No pilot is needed: the speed of every shape is known, or a run of it is on its way.")
    elif not plan.left:
        print("Nothing is to be sent.")
    if plan.left:
        some = ", ".join(run_id[:8] for run_id in plan.left[:5])
        print(
            f"{count(len(plan.left), 'run')} for which the queue has no room now ({plan.machine.name} takes "
            f"{plan.machine.limits.queued} jobs of a user): {some}{', ...' if len(plan.left) > 5 else ''}; "
            "`hlb submit` again sends them"
        )


def print_jobs(jobs: Sequence[Planned]) -> None:
    """A row a kind of job."""
    from horovod_lb.machines import hours

    groups: dict[tuple[Any, ...], list[Planned]] = {}
    for job in jobs:
        request = job.request
        kind = (
            request.nodes,
            request.minutes,
            request.ranks,
            request.pack,
            job.segments,
            job.links,
            job.source,
        )
        groups.setdefault(kind, []).append(job)
    rows = []
    for (nodes, minutes, ranks, pack, segments, links, source), members in groups.items():
        elements = sum(job.elements for job in members)
        rows.append(
            (
                f"{elements:,}" if links == 1 else f"{elements:,} x {links}",
                f"{sum(len(job.run_ids) for job in members):,}",
                str(nodes),
                hours(minutes),
                str(ranks) if pack == 1 else f"{members[0].request.side_by_side} x {ranks}",
                str(segments),
                f"{sum(job.node_hours for job in members):,.1f}",
                f"{sum(job.expected for job in members):,.1f}",
                source,
            )
        )
    print_table(_COLUMNS, rows, right=_RIGHT)


def _hints(jobs: Sequence[Planned]) -> Iterator[str]:
    for job in jobs:
        if job.request.pack == 1 and job.steps_a_node > 1 and len(job.run_ids) > 1:
            yield (
                f"A run of {job.request.ranks} ranks fills but a part of its node: --pack {job.steps_a_node} "
                f"puts {job.steps_a_node} runs side by side on one."
            )
            return


def commands(job: Planned, machine: Machine, folder: Path, *, short: bool = False) -> list[str]:
    """The command lines that send a job's links, as one would type them.

    `short`: without what Slurm reads in the script itself.
    """
    from horovod_lb.batch.client import shown
    from horovod_lb.schedulers import scheduler
    from horovod_lb.schedulers.render import render
    from horovod_lb.schedulers.types import Command
    from horovod_lb.schedulers.words import directives

    rules = scheduler(machine.scheduler)
    lines = []
    with tempfile.TemporaryDirectory() as temporary:
        # The command repeats what the script says, so there must be one; and an id is a number.
        script = Path(temporary) / job.script
        script.write_text(render(job.request))
        repeated = {"--parsable", *directives(script, "#SBATCH")} if short else set()
        for link in range(job.links):
            command = rules.submit(script, machine, after=_STAND_IN if link else None)
            words = tuple(word for word in command.argv if word not in repeated)
            line = shown(Command(words, command.stdin))
            line = line.replace(str(script), shlex.quote(str(folder / job.script)))
            lines.append(line.replace(_STAND_IN, PREVIOUS))
    return lines


def print_dry_run(plan: Plan) -> None:
    """Exactly what would be sent: each command and the script it sends."""
    from horovod_lb.schedulers.render import render

    for job in plan.jobs:
        print()
        for command in commands(job, plan.machine, plan.folder):
            print(f"$ {command}")
        print(f"# {job.script}, for the {count(len(job.run_ids), 'run')} in {job.request.runs}")
        print(render(job.request).rstrip("\n"))
    print()
    if any(job.links > 1 for job in plan.jobs):
        print(f"{PREVIOUS}: the id of the job before it.")
    print("Nothing was sent (--dry-run).")


def print_sent(submission: Submission, study: Path, runs: Path | None) -> None:
    """The ids, and what to do next."""
    status = ["hlb", "status", str(study), *(["--runs", str(runs)] if runs else [])]
    ids = [link.job_id for job in submission.jobs for link in job.links]
    shown = ", ".join(str(job_id) for job_id in ids[:10])
    print(
        f"Sent: {count(len(ids), 'job')} to {submission.scheduler}: {shown}{', ...' if len(ids) > 10 else ''}"
    )
    print(f"Scripts and logs: {submission.folder}")
    print(f"`{shlex.join(status)}` follows them; `hlb submit` again sends only what is not on its way.")


def as_json(plan: Plan, submission: Submission | None, *, dry_run: bool) -> dict[str, Any]:
    """The plan and what became of it."""
    return {
        "study": str(plan.study),
        "machine": plan.machine.name,
        "submission": str(submission.folder) if submission else None,
        "dry_run": dry_run,
        "node_hours": plan.node_hours,
        "node_hours_expected": plan.expected,
        "jobs": [
            {
                **job_json(job),
                "job_ids": [link.job_id for link in submission.jobs[number].links] if submission else [],
                **({"commands": commands(job, plan.machine, plan.folder)} if dry_run else {}),
            }
            for number, job in enumerate(plan.jobs)
        ],
        "not_sent": {str(state): number for state, number in plan.choice.others.items()},
        "no_room": list(plan.left),
    }


def job_json(job: Planned) -> dict[str, Any]:
    """A planned job."""
    from horovod_lb.machines import hours

    request = job.request
    return {
        "name": request.name,
        "script": job.script,
        "runs": list(job.run_ids),
        "elements": job.elements,
        "links": job.links,
        "segments": job.segments,
        "nodes": request.nodes,
        "ranks": request.ranks,
        "walltime": hours(request.minutes),
        "pack": request.pack,
        "side_by_side": request.side_by_side,
        "node_hours": job.node_hours,
        "node_hours_expected": job.expected,
        "source": job.source,
    }


def count(number: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
