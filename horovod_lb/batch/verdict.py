"""Where a run stands: what its files say and what the scheduler says of its jobs, put together.

Truth in this order: exit record, heartbeat, scheduler. Nothing is read and nobody is asked here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from horovod_lb.runs.state import State
from horovod_lb.runs.summary import duration
from horovod_lb.schedulers.types import JobRef, JobState, JobStatus


@dataclass(frozen=True)
class Followed:
    """Where a run stands. `job` is the one that the state follows from, `reason` why it is so, for people.

    `seconds_left` of the job's wall time and `nodes` while the job runs.
    """

    state: State
    job: JobRef | None = None
    job_state: JobState | None = None
    reason: str = ""
    seconds_left: float | None = None
    nodes: str = ""


@dataclass(frozen=True)
class Files:
    """What the files of a run say.

    began: when its newest life began, in seconds since 1970; job: that life's batch job (`slurm:123_4`);
    elsewhere: it was on another host; quiet: seconds since its last sign; ended: time of its exit record;
    asked: what somebody has asked of it ("stop", "cancel" or nothing).
    """

    state: State
    began: float = 0.0
    job: str | None = None
    elsewhere: bool = False
    quiet: float = 0.0
    ended: float | None = None
    asked: str = ""


class Silence(Enum):
    """Why there is no status of a job."""

    NO_ANSWER = "the scheduler did not answer"
    NOT_ASKED = "the scheduler was not asked"
    NOT_YET = "the scheduler does not list its job yet"
    FORGOTTEN = "the scheduler does not know its job"


@dataclass(frozen=True)
class Known:
    """A job that a run was sent in, and what is known of it.

    scheduler: its name. ref: None where the job's id was never written down. packed: the job works through
    several runs. sent: time of the submission. answered: when the scheduler said so. breaker: why no more
    runs of this submission begin.
    """

    scheduler: str
    ref: JobRef | None
    packed: bool
    sent: float
    heard: JobStatus | Silence
    answered: float = 0.0
    breaker: str = ""

    @property
    def label(self) -> str:
        """The job as a life's record names it."""
        return f"{self.scheduler}:{self.ref}"

    @property
    def status(self) -> JobStatus | None:
        """What the scheduler says of it, if anything."""
        return self.heard if isinstance(self.heard, JobStatus) else None

    @property
    def state(self) -> JobState | None:
        """In one word."""
        return self.heard.state if isinstance(self.heard, JobStatus) else None


def verdict(files: Files, jobs: Sequence[Known]) -> Followed:
    """Where a run stands. `jobs`: those of its newest submission first, the links of a chain in order."""
    if files.state is State.RUNNING:
        return _alive(files, jobs)
    if files.state in (State.FAILED, State.CANCELLED) and files.ended is not None:
        sent_again = [job for job in jobs if job.sent > (files.ended or 0.0)]
        return _going_on(files, sent_again) or _settled(files)
    if files.state is State.CANCELLED:
        return _cancelled(files, jobs)
    if files.state.has_result or files.state is State.UNKNOWN or not jobs:
        return _settled(files)
    return _going_on(files, jobs) or _over(files, jobs)


def _settled(files: Files) -> Followed:
    _, _, name = (files.job or "").partition(":")
    return Followed(files.state, parse_ref(name) if name else None)


def parse_ref(name: str) -> JobRef:
    """`123` or `123_4` as a job."""
    job_id, underscore, index = name.rpartition("_")
    return JobRef(job_id, int(index)) if underscore and index.isdecimal() else JobRef(name)


def _followed(state: State, job: Known, reason: str = "") -> Followed:
    status = job.status
    running = status is not None and status.state is JobState.RUNNING
    return Followed(
        state,
        job.ref,
        job.state,
        reason,
        status.seconds_left if status is not None and running else None,
        status.nodes if status is not None and running else "",
    )


def _alive(files: Files, jobs: Sequence[Known]) -> Followed:
    """A life that claims to be alive; of an orphan the scheduler knows better."""
    asked = {"": "", "stop": "asked to stop", "cancel": "cancelled, stops at its next chance"}[files.asked]
    own = next((job for job in jobs if job.label == files.job), None)
    if own is None:
        return Followed(State.RUNNING, _settled(files).job, reason=asked)
    # What was said before this life began is not about it.
    state = own.state if own.answered >= files.began else None
    if state is not None and (state.over or state.waiting):
        if files.elsewhere:
            dead = State.CANCELLED if files.asked == "cancel" else State.LOST
            return verdict(replace(files, state=dead), jobs)
        return _followed(State.RUNNING, own, f"{_word(own)}, and its process lives on here")
    if own.heard is Silence.FORGOTTEN:
        return _followed(State.RUNNING, own, asked or own.heard.value)
    return _followed(State.RUNNING, own, asked)


def _cancelled(files: Files, jobs: Sequence[Known]) -> Followed:
    """Cancelled by its mark; a job that works for it alone should be gone, too."""
    left = next((job for job in jobs if job.state and not job.state.over and not job.packed), None)
    if left is None or left.state is None:
        return _settled(files)
    return _followed(State.CANCELLED, left, f"its job is still {left.state.value}")


def _going_on(files: Files, jobs: Sequence[Known]) -> Followed | None:
    """Where the run stands by a job that is not over, or of which that is not known; None without one."""
    running = _first(jobs, [JobState.RUNNING])
    if running is not None:
        return _in_running_job(files, running)
    waiting = _first(jobs, [JobState.PENDING, JobState.HELD])
    if waiting is not None and waiting.status is not None:
        held = "held: " if waiting.state is JobState.HELD else ""
        return _followed(State.QUEUED, waiting, waiting.breaker or held + waiting.status.reason)
    unclear = _first(jobs, [JobState.UNKNOWN, Silence.NO_ANSWER, Silence.NOT_ASKED])
    if unclear is not None:
        unknown = State.UNKNOWN if files.state is State.PLANNED else files.state
        return _followed(unknown, unclear, _word(unclear))
    expected = _first(jobs, [Silence.NOT_YET])
    if expected is not None:
        return _followed(State.SUBMITTED, expected, Silence.NOT_YET.value)
    return None


def _in_running_job(files: Files, job: Known) -> Followed:
    if files.state is State.LOST and files.job == job.label:
        return _followed(State.RUNNING, job, f"no sign of life for {duration(files.quiet)}")
    if job.packed:
        return _followed(State.QUEUED, job, job.breaker or f"waits in job {job.ref}")
    said = job.status.reason if job.status else ""
    again = "starting" if files.state is State.PLANNED else "starting again"
    return _followed(State.RUNNING, job, said or again)


def _over(files: Files, jobs: Sequence[Known]) -> Followed:
    """All of its jobs are over or forgotten, and there is no record of its end."""
    newest = [job for job in jobs if job.sent == jobs[0].sent]
    own = [job for job in newest if job.label == files.job]
    told = [job for job in newest if job.status is not None]
    job = (own or told[-1:] or newest[-1:])[0]
    if files.state is State.STOPPED:
        return _followed(State.STOPPED, job, "" if job.state in (None, JobState.ENDED) else _word(job))
    never = files.state is State.PLANNED
    return _followed(State.LOST, job, (never and job.breaker) or _word(job))


def _first(jobs: Iterable[Known], wanted: Sequence[JobState | Silence]) -> Known | None:
    """The first of `jobs` of which one of `wanted` is known."""
    return next((job for job in jobs if (job.state or job.heard) in wanted), None)


_WORDS = {
    JobState.ENDED: "its job ended without a record of the run",
    JobState.FAILED: "its job failed",
    JobState.CANCELLED: "its job was cancelled",
    JobState.UNKNOWN: "the scheduler is not sure of its job",
    JobState.PENDING: "its job waits again",
    JobState.HELD: "its job is held",
}
# Reasons that say no more than the state does.
_SAME = ("none", "timelimit", "nodefail", "nonzeroexitcode", "outofmemory")


def _word(job: Known) -> str:
    """What the scheduler says of a job that does not run."""
    status = job.status
    if status is None:
        forgotten = job.heard is Silence.FORGOTTEN and job.ref is None
        return "the scheduler has no job of its name" if forgotten else str(job.heard.value)  # type: ignore[union-attr]
    word = _WORDS.get(status.state, status.state.value)
    if status.state is JobState.FAILED and status.exit_code:
        word += f" with status {status.exit_code}"
    said = status.reason.strip()
    if said.lower().startswith("cancelled by"):
        return f"its job was {said.lower()}"
    plain = said.lower().replace("_", "").replace(" ", "")
    more = plain not in _SAME and plain not in word.lower().replace(" ", "")
    return f"{word} ({said})" if plain and more else word
