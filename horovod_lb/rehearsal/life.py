"""One life of a job on this machine: its process, the signals that are due, its end."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from horovod_lb.rehearsal import processes, steps
from horovod_lb.rehearsal.table import Element, Job, Table

# A process can do nothing about a signal in less, however fast the site's clock runs.
SHORTEST_SECONDS = 1.0


@dataclass(frozen=True)
class Due:
    """A signal that will be sent once `clock` seconds of the job's time are over."""

    clock: float
    name: str
    group: bool
    cause: str = ""


class Life:
    """The job's script and everything that it started, as a process session.

    Its clock stands still while all of its steps wait for this machine's cores: on the real machine they
    would run.
    """

    def __init__(self, table: Table, job: Job, element: Element) -> None:
        self.job = job
        self.index = element.index
        self.cause = ""
        self._table = table
        self.paused = 0.0
        self._clock = 0.0
        self._seen = time.monotonic()
        self._due = self._limits()
        self._token = token(table, job, element)
        spool = table.spool(job.id)
        environment = json.loads((spool / "environment.json").read_text())
        environment.update(json.loads((spool / f"{element.index}.environment.json").read_text()))
        environment[processes.VARIABLE] = self._token
        with output(table, job, element) as out, error(table, job, element, out) as err:
            self.problem = ""
            try:
                self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
                    job.command,
                    cwd=job.directory,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                )
            except OSError as problem:  # no such folder, no right to execute
                self._process = None
                out.write(f"{job.command[0]}: {problem.strerror}\n".encode())

    @property
    def pid(self) -> int | None:
        """The process session."""
        return self._process.pid if self._process else None

    def poll(self) -> int | None:
        """None while it runs, else the exit status as a shell has it: 128 + signal if one ended it."""
        if self._process is None:
            return 127
        self._advance()
        status = self._process.poll()
        if status is None:
            return None
        # The allocation is over: nothing that the script left in the background goes on.
        processes.kill_all(self._process.pid, self._token)
        steps.forget(self._table.folder, self.job, self.index)
        return status if status >= 0 else 128 - status

    def end(self, cause: str, sequence: Sequence[tuple[str, float]]) -> None:
        """Begins to end it: the signals of `sequence`, unless it is being ended already."""
        if not self.cause:
            self.cause = cause
            self._due = self._sequence(self._clock, sequence, cause)

    def signal(self, name: str, *, group: bool) -> None:
        """A signal that somebody asked for."""
        self._send(Due(0.0, name, group))

    def hurry(self) -> None:
        """Moves its clock on to the next signal that is due."""
        if self._due:
            self.paused -= max(0.0, self._due[0].clock - self._clock)
            self._clock = max(self._clock, self._due[0].clock)

    def kill(self, cause: str) -> None:
        """No warning: every process is killed."""
        self.cause = self.cause or cause
        if self._process is not None:
            processes.kill_all(self._process.pid, self._token)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)

    def _limits(self) -> list[Due]:
        if self.job.minutes is None:
            return []
        policy, limit = self.job.policy, self.job.minutes * self.job.minute
        due = self._sequence(limit, policy.at_limit, "limit")
        if policy.warning is not None:
            name, minutes = policy.warning
            due.insert(0, Due(max(0.0, limit - minutes * self.job.minute), name, policy.warn_group))
        return due

    def _sequence(self, begin: float, sequence: Sequence[tuple[str, float]], cause: str) -> list[Due]:
        due, last = [], begin - SHORTEST_SECONDS
        for name, minutes in sequence:
            last = max(begin + minutes * self.job.minute, last + SHORTEST_SECONDS)
            due.append(Due(last, name, True, cause))
        return due

    def _advance(self) -> None:
        now = time.monotonic()
        if steps.all_wait_for_cores(self._table.folder, self.job, self.index):
            self.paused += now - self._seen
        else:
            self._clock += now - self._seen
        self._seen = now
        while self._due and self._clock >= self._due[0].clock:
            due = self._due.pop(0)
            self.cause = self.cause or due.cause
            self._send(due)

    def _send(self, due: Due) -> None:
        if self._process is None:
            return
        if due.name == "KILL":
            processes.kill_all(self._process.pid, self._token)
        else:
            processes.send(self._process.pid, due.name, group=due.group)


def token(table: Table, job: Job, element: Element) -> str:
    """Marks the processes of a life."""
    return f"{table.folder}:{job.id}.{element.index}.{element.life}"


def path_of(pattern: str, job: Job, element: Element) -> Path:
    """A file name with the job's id and index filled in, LSF's `%J %I` and Slurm's `%j %A %a %x`."""
    text = pattern
    for mark, value in (
        ("%J", job.id), ("%I", element.index), ("%j", job.id), ("%A", job.id),
        ("%a", element.index), ("%x", job.name), ("%%", "%"),
    ):  # fmt: skip
        text = text.replace(mark, str(value))
    return Path(job.directory) / text


def output(table: Table, job: Job, element: Element) -> IO[bytes]:
    """The open file for the standard output of this life."""
    if job.policy.direct and job.output is not None:
        path = path_of(job.output, job, element)
        return path.open("ab" if job.policy.append else "wb")
    return (table.spool(job.id) / f"{element.index}.out").open("wb")


def error(table: Table, job: Job, element: Element, out: IO[bytes]) -> IO[bytes]:
    """The open file for the standard error of this life."""
    if job.error is None:
        return os.fdopen(os.dup(out.fileno()), "ab")
    if job.policy.direct:
        return path_of(job.error, job, element).open("ab" if job.policy.append else "wb")
    return (table.spool(job.id) / f"{element.index}.err").open("wb")
