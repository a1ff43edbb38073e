"""Jobs in LSF's words: states, reasons, times, and which jobs a command line means."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase

from horovod_lb.rehearsal.table import DONE, FAILED, HELD, PENDING, RUNNING, Element, Job

STATES = {PENDING: "PEND", HELD: "PSUSP", RUNNING: "RUN", DONE: "DONE", FAILED: "EXIT"}
_REASONS = {
    "limit": "TERM_RUNLIMIT: job killed after reaching LSF run time limit",
    "owner": "TERM_OWNER: job killed by owner",
    "node": "TERM_EXTERNAL_SIGNAL: job killed by a signal external to LSF",
    "lost": "TERM_ZOMBIE: job exited while LSF is not available",
}

_ID = re.compile(r"(\d+)(?:\[([0-9,:-]+)\])?")

One = tuple[Job, Element]


def reason(element: Element) -> str:
    """Why it was terminated; nothing where it ended by itself."""
    return _REASONS.get(element.cause, "")


def pending_reason(element: Element, job: Job) -> str:
    """Why it waits."""
    if element.state == HELD:
        return "The job was suspended by the user while pending;"
    if element.cause.startswith("requeued"):
        code = element.cause.removeprefix("requeued").strip()
        return f"Requeued job is waiting for rescheduling;{f'(exit code {code})' if code else ''}"
    if job.after is not None:
        return "Job dependency condition not satisfied;"
    if job.throttle is not None:
        return "The job array has reached its running element limit;"
    return "New job is waiting for scheduling;"


def moment(seconds: float | None) -> str:
    """`Nov 21 00:19`."""
    return "" if seconds is None else time.strftime("%b %e %H:%M", time.localtime(seconds))


class NoJob(Exception):
    """An id or a name that is not there: LSF's text without the command's own ending."""


def malformed(words: Sequence[str]) -> str | None:
    """What LSF says of the first word that is no id; None where all are."""
    return next((f"{word}: Illegal job ID." for word in words if not _ID.fullmatch(word)), None)


def pick(jobs: Sequence[Job], words: Sequence[str]) -> list[One | NoJob]:
    """Elements by `12`, `12[3]`, `12[3-5,7]`; what is not there is a NoJob in its place."""
    known = {job.id: job for job in jobs}
    found: list[One | NoJob] = []
    for word in words:
        parts = _ID.fullmatch(word)
        job = known.get(int(parts[1])) if parts else None
        if parts is None or job is None:
            found.append(NoJob(word))
            continue
        if parts[2] is None:
            found += [(job, element) for element in job.elements]
            continue
        for index in _indices(parts[2]):
            element = job.element(index) if job.array else None
            found.append((job, element) if element else NoJob(f"{job.id}[{index}]"))
    return found


def named(jobs: Sequence[Job], name: str) -> list[One]:
    """Elements of the jobs of this name; `*` stands for anything."""
    return [(job, element) for job in jobs if fnmatchcase(job.name, name) for element in job.elements]


def _indices(text: str) -> list[int]:
    chosen: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if found is not None:
            chosen += range(int(found[1]), int(found[2] or found[1]) + 1, int(found[3] or 1))
    return chosen
