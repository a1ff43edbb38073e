"""What schedulers, launchers and the rooms above them say to each other."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from horovod_lb.machines import Machine


@dataclass(frozen=True, order=True)
class JobRef:
    """A job, or one element of an array (`index`)."""

    job_id: str
    index: int | None = None

    def __str__(self) -> str:
        """`123` or `123_4`: in file names, records and messages, whatever the scheduler's own way."""
        return self.job_id if self.index is None else f"{self.job_id}_{self.index}"


class JobState(str, Enum):
    """What a scheduler says of a job. Whether its runs succeeded is for their exit records to say."""

    PENDING = "pending"
    HELD = "held"
    RUNNING = "running"
    ENDED = "ended"  # with status 0
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    NODE_FAILURE = "node failure"
    PREEMPTED = "preempted"
    OUT_OF_MEMORY = "out of memory"
    UNKNOWN = "unknown"

    @property
    def waiting(self) -> bool:
        """It will run, or could if somebody let it."""
        return self in (JobState.PENDING, JobState.HELD)

    @property
    def over(self) -> bool:
        """It will not run any more."""
        return self not in (JobState.PENDING, JobState.HELD, JobState.RUNNING, JobState.UNKNOWN)


@dataclass(frozen=True)
class JobStatus:
    """A job as the scheduler sees it. `reason`: why it waits or ended, in the scheduler's words.

    `seconds_left` of its wall time and `nodes` while it runs; `name` is the job's name where that was asked.
    """

    ref: JobRef
    state: JobState
    reason: str = ""
    seconds_left: float | None = None
    nodes: str = ""
    exit_code: int | None = None
    name: str = ""


@dataclass(frozen=True)
class Command:
    """A program to start, without a shell; `stdin` is a file that it reads."""

    argv: tuple[str, ...]
    stdin: Path | None = None


@dataclass(frozen=True)
class Array:
    """Elements `first` to `last` of a job array, `throttle` of them at a time (None: as many as fit)."""

    first: int
    last: int
    throttle: int | None = None

    @property
    def indices(self) -> range:
        """The indices of its elements."""
        return range(self.first, self.last + 1)


@dataclass(frozen=True)
class JobRequest:
    """Everything that the script of one batch job says; see `render`.

    name: the job's name. nodes, minutes: what it asks for. ranks: of one launcher step (a run).
    side_by_side: steps at a time in the allocation. allreduce: see `recipe.communication`.
    folder: where the script and the list of runs lie and the job's log goes, absolute. runs: the name of the
    file with a run directory a line. pack: lines that one job, or one element of its array, works through.
    retry: failed and cancelled runs too. stage_from: folder of the data set to copy to each node.
    python: the interpreter of the job where the machine does not name one.
    """

    name: str
    machine: Machine
    nodes: int
    minutes: int
    ranks: int
    threads: int
    allreduce: str
    folder: Path
    runs: str
    pack: int = 1
    side_by_side: int = 1
    array: Array | None = None
    retry: bool = False
    max_failures: int | None = None
    stage_from: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    python: str = sys.executable

    @property
    def script(self) -> Path:
        """The file of its script, beside the list of runs: `0.sh` for `0.txt`."""
        return self.folder / Path(self.runs).with_suffix(".sh")


class Scheduler(Protocol):
    """Commands and their answers, as pure pairs: no method starts anything."""

    name: str
    first_index: int  # of an array

    def submit(self, script: Path, machine: Machine, *, after: str | None = None) -> Command:
        """Sends `script`; `after`: the job that must have ended, however it ended, before this one starts."""

    def parse_submit(self, stdout: str, stderr: str) -> str:
        """The job's id. SchedulerError with all of the output: it was not accepted."""

    def query(self, jobs: Sequence[str], names: Sequence[str] = ()) -> Command:
        """Asks for jobs by id, or where `names` are given for all jobs of these names, in one command."""

    def parse_query(self, stdout: str, stderr: str) -> list[JobStatus]:
        """One status an element; jobs that the scheduler has forgotten are missing.

        SchedulerError: it did not answer the question.
        """

    def history(self, jobs: Sequence[str]) -> Command | None:
        """Asks the records for jobs that `query` no longer knows; None where there are none to ask."""

    def parse_history(self, stdout: str, stderr: str) -> list[JobStatus]:
        """As `parse_query`."""

    def load(self) -> Command:
        """Asks how many jobs the user has in the queue; an element of an array is a job."""

    def parse_load(self, stdout: str, stderr: str) -> int:
        """That number. SchedulerError: no answer."""

    def cancel(self, refs: Sequence[JobRef]) -> Command:
        """Cancels jobs and elements; never everything that a user has."""
