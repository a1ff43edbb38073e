"""One question to each scheduler: what became of these jobs?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from horovod_lb.batch import client
from horovod_lb.errors import SchedulerError
from horovod_lb.schedulers.types import Command, JobRef, JobStatus, Scheduler

# `hlb status` is somebody waiting; a scheduler that takes longer is called silent.
QUERY_SECONDS = 10.0


@dataclass
class Answers:
    """What schedulers said, each at most once, and when (seconds since 1970).

    asked: jobs by scheduler and id. statuses: by scheduler and element. named: the elements of jobs of a
    name. silent: schedulers that did not answer. problems: in their words.
    """

    time: float = field(default_factory=time.time)
    asked: set[tuple[str, str]] = field(default_factory=set)
    statuses: dict[tuple[str, JobRef], JobStatus] = field(default_factory=dict)
    named: dict[tuple[str, str], list[JobStatus]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def status(self, name: str, ref: JobRef) -> JobStatus | None:
        """What the scheduler `name` said of an element, or of the array as a whole."""
        return self.statuses.get((name, ref)) or self.statuses.get((name, JobRef(ref.job_id)))

    def query(self, name: str, jobs: Iterable[str], names: Iterable[str]) -> None:
        """Asks for `jobs` by id; by `names`, if any, where the id of one was never written down.

        Names are unique, so those of all jobs are as good a question as their ids.
        """
        ids, by_name = sorted(set(jobs)), sorted(set(names))
        self.asked.update((name, job_id) for job_id in ids)
        try:
            rules = _rules(name)
            command = rules.query([] if by_name else ids, by_name)
            self._note(name, _answer(command, rules.parse_query))
        except SchedulerError as error:
            self.silent.add(name)
            self.problems.append(f"{error}; states are what the files say")

    def history(self, name: str, jobs: Iterable[str]) -> None:
        """Asks the records for jobs that the query did not know; where there are none, nothing happens."""
        rules = _rules(name)
        command = rules.history(sorted(set(jobs)))
        if command is None:
            return
        try:
            self._note(name, _answer(command, rules.parse_history))
        except SchedulerError as error:
            self.problems.append(f"{error}; why jobs ended is not known")

    def _note(self, name: str, found: Iterable[JobStatus]) -> None:
        for status in found:
            self.statuses[name, status.ref] = status
            if status.name:
                self.named.setdefault((name, status.name), []).append(status)


def _rules(name: str) -> Scheduler:
    from horovod_lb.schedulers import scheduler

    return scheduler(name)


def _answer(command: Command, parse: Callable[[str, str], list[JobStatus]]) -> list[JobStatus]:
    return parse(*client.run(command, timeout=QUERY_SECONDS))
