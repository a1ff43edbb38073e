"""The states of a run."""

from __future__ import annotations

from enum import Enum


class State(str, Enum):
    """Where a run stands; the value is the word in `exit.json`, in tables and on the command line."""

    PLANNED = "planned"
    SUBMITTED = "submitted"
    QUEUED = "queued"
    RUNNING = "running"
    STOPPED = "stopped"
    COMPLETED = "completed"
    DIVERGED = "diverged"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    UNKNOWN = "unknown"

    def __str__(self) -> str:
        return self.value

    @property
    def final(self) -> bool:
        """There is nothing left to do, unless somebody asks for a retry."""
        return self in FINAL

    @property
    def has_result(self) -> bool:
        """The run has its result, which is never made a second time. Diverging is a result, not a failure."""
        return self in (State.COMPLETED, State.DIVERGED)


FINAL = frozenset({State.COMPLETED, State.DIVERGED, State.FAILED, State.CANCELLED})

# What an exit record may say; the other states follow from a life that left none, or from a scheduler.
EXIT_STATES = FINAL | {State.STOPPED}
