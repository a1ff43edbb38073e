"""Cancelling runs: first their marks, which no crash undoes, then one command to each scheduler."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from horovod_lb.batch import client
from horovod_lb.batch.follow import Following, Sent
from horovod_lb.batch.verdict import Silence
from horovod_lb.errors import SchedulerError
from horovod_lb.schedulers.types import Command, JobRef, JobStatus

# What schedulers say of a job that is over already: just what was wanted.
_OVER = ("already finished", "already completing or completed", "no matching job found", "is not found")


@dataclass(frozen=True)
class Plan:
    """What cancelling some runs comes to.

    jobs: by scheduler, jobs and elements that work for these runs alone. shared: jobs that go on for other
    runs, by how many of the chosen ones they hold. nameless: names of jobs whose id is not known.
    """

    jobs: Mapping[str, Sequence[JobRef]] = field(default_factory=dict)
    shared: Mapping[JobRef, int] = field(default_factory=dict)
    nameless: Sequence[str] = ()

    def commands(self) -> dict[str, Command]:
        """One command a scheduler."""
        from horovod_lb.schedulers import scheduler

        return {name: scheduler(name).cancel(refs) for name, refs in self.jobs.items()}


def plan(following: Following, run_ids: Collection[str]) -> Plan:
    """Which jobs to cancel with the runs `run_ids`. A job goes only if no other run waits for it."""
    chosen = set(run_ids)
    jobs: dict[str, list[JobRef]] = defaultdict(list)
    shared: dict[JobRef, int] = {}
    nameless: dict[str, None] = {}
    for link in _links(following):
        alone: list[JobRef] = []
        others_wait = False
        for sent, runs in link:
            if _is_over(following, sent):
                continue
            mine = chosen.intersection(runs)
            needed = not _idle(following, [run for run in runs if run not in chosen])
            others_wait |= needed
            ref = following.ref(sent)
            if mine and ref is None:
                nameless[sent.job.name] = None
            elif mine and ref is not None and needed:
                shared[ref] = len(mine)
            elif mine and ref is not None:
                alone.append(ref)
        whole = len(alone) > 1 and not others_wait
        jobs[link[0][0].submission.scheduler] += [JobRef(alone[0].job_id)] if whole else alone
    return Plan({name: refs for name, refs in jobs.items() if refs}, shared, tuple(nameless))


def carry_out(plan: Plan) -> dict[str, str]:
    """Gives the commands of `plan`; returns what went wrong, by scheduler."""
    problems: dict[str, str] = {}
    for name, command in plan.commands().items():
        try:
            _, said = client.run(command)
        except SchedulerError as error:
            problems[name] = str(error)
            continue
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        wrong = [line for line in lines if not any(words in line.lower() for words in _OVER)]
        if wrong:
            problems[name] = " / ".join(wrong[:5])
    return problems


def _links(following: Following) -> Iterator[list[tuple[Sent, list[str]]]]:
    """Of every job that was sent, a link each: its elements with their runs."""
    for submission in following.submissions:
        for job in submission.jobs:
            first: dict[int | None, int] = {}
            runs: dict[int | None, list[str]] = defaultdict(list)
            for position, run_id in enumerate(job.runs):
                first.setdefault(job.index_of(position), position)
                runs[job.index_of(position)].append(run_id)
            for number in range(len(job.links)):
                yield [(Sent(submission, job, number, first[index]), runs[index]) for index in first]


def _idle(following: Following, runs: Iterable[str]) -> bool:
    """Nothing is left to do for these runs."""
    return all(following.state(run).state.final for run in runs)


def _is_over(following: Following, sent: Sent) -> bool:
    """The scheduler says so; where it does not answer, no job is taken to be over."""
    heard = following.status(sent)
    return heard.state.over if isinstance(heard, JobStatus) else heard is Silence.FORGOTTEN
