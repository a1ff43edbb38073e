"""Slurm: sbatch, squeue, sacct and scancel as commands and their answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from horovod_lb.errors import SchedulerError
from horovod_lb.schedulers.types import Command, JobRef, JobState, JobStatus
from horovod_lb.schedulers.words import ARGUMENT, check_id, check_ids, directives, elements, refused, silent

if TYPE_CHECKING:
    from horovod_lb.machines import Machine

# squeue(1), "JOB STATE CODES". A job that completes still has processes; a suspended one needs somebody.
STATES = {
    "PENDING": JobState.PENDING,
    "REQUEUED": JobState.PENDING,
    "REQUEUE_FED": JobState.PENDING,
    "REQUEUE_HOLD": JobState.HELD,
    "RESV_DEL_HOLD": JobState.HELD,
    "SPECIAL_EXIT": JobState.HELD,
    "SUSPENDED": JobState.HELD,
    "STOPPED": JobState.HELD,
    "CONFIGURING": JobState.RUNNING,
    "RUNNING": JobState.RUNNING,
    "RESIZING": JobState.RUNNING,
    "SIGNALING": JobState.RUNNING,
    "STAGE_OUT": JobState.RUNNING,
    "COMPLETING": JobState.RUNNING,
    "COMPLETED": JobState.ENDED,
    "FAILED": JobState.FAILED,
    "CANCELLED": JobState.CANCELLED,
    "REVOKED": JobState.CANCELLED,
    "TIMEOUT": JobState.TIMEOUT,
    "DEADLINE": JobState.TIMEOUT,
    "NODE_FAIL": JobState.NODE_FAILURE,
    "BOOT_FAIL": JobState.NODE_FAILURE,
    "PREEMPTED": JobState.PREEMPTED,
    "OUT_OF_MEMORY": JobState.OUT_OF_MEMORY,
}

# Reasons of a pending job that will not go away by waiting.
_HELD = re.compile(
    r"JobHeld|DependencyNeverSatisfied|launch_failed_requeued_held|JobHoldMaxRequeue|held", re.I
)

_QUERY = "%i|%T|%r|%L|%N|%j"  # the name last: it may hold a bar
_HISTORY = "JobID,State,ExitCode,NodeList,JobName"
_ID = re.compile(r"(\d+)(?:_(?:(\d+)|\[([\d,%-]+)\]))?")


class Slurm:
    """See `types.Scheduler`."""

    name = "slurm"
    first_index = 0

    def submit(self, script: Path, machine: Machine, *, after: str | None = None) -> Command:
        """`sbatch` with the script's own directives repeated, so that no SBATCH_* variable overrides them."""
        argv = ["sbatch", "--parsable", *directives(script, "#SBATCH")]
        if after is not None:
            # A job that was cut off has failed to Slurm: `afterok` would never be satisfied.
            kind = "singleton" if machine.dependency == "singleton" else f"afterany:{check_id(after)}"
            argv.append(f"--dependency={kind}")
        if machine.submit == "stdin":
            return Command(tuple(argv), stdin=script)
        return Command((*argv, str(script)))

    def parse_submit(self, stdout: str, stderr: str) -> str:
        """`123`, `123;cluster`, or the sentence of a wrapped sbatch, among whatever other lines."""
        for line in reversed(stdout.splitlines()):
            if match := re.fullmatch(r"(\d+)(?:;\S+)?", line.strip()):
                return match[1]
            if match := re.search(r"Submitted batch job (\d+)", line):
                return match[1]
        raise refused("sbatch", stdout, stderr)

    def query(self, jobs: Sequence[str], names: Sequence[str] = ()) -> Command:
        """`squeue`, an element of an array a line, ended jobs too."""
        argv = ["squeue", "--noheader", "--array", "--states=all", f"--format={_QUERY}"]
        ids, named = ",".join(check_ids(jobs)), ",".join(names)
        # Both would mean jobs that satisfy both; and there are lists that no argument can hold.
        if ids and not named and len(ids) < ARGUMENT:
            argv.append(f"--jobs={ids}")
        elif named and not ids and len(named) < ARGUMENT:
            argv.append(f"--name={named}")
        return Command(tuple(argv))

    def parse_query(self, stdout: str, stderr: str) -> list[JobStatus]:
        """Jobs that ended more than MinJobAge ago (minutes) are missing."""
        if not stdout.strip():
            errors = [line for line in stderr.splitlines() if line.strip() and "Invalid job id" not in line]
            if errors:
                raise silent("squeue", stdout, stderr)
            return []
        return [status for line in stdout.splitlines() if line.strip() for status in _queued(line, stderr)]

    def history(self, jobs: Sequence[str]) -> Command | None:
        """`sacct`, a job or element a line; given ids it looks at all times, not only since midnight."""
        argv = ["sacct", "--allocations", "--noheader", "--parsable2", f"--format={_HISTORY}"]
        return Command((*argv, *_lists("--jobs", check_ids(jobs))))

    def parse_history(self, stdout: str, stderr: str) -> list[JobStatus]:
        """As `parse_query`; nothing where the site keeps no accounts."""
        if "accounting storage is disabled" in (stdout + stderr).lower():
            return []
        if not stdout.strip():
            if stderr.strip():
                raise silent("sacct", stdout, stderr)
            return []
        return [status for line in stdout.splitlines() if line.strip() for status in _recorded(line, stderr)]

    def load(self) -> Command:
        """A line a job or element in the queue."""
        return Command(("squeue", "--me", "--noheader", "--array", "--format=%i"))

    def parse_load(self, stdout: str, stderr: str) -> int:
        """The number of these lines."""
        lines = [line for line in stdout.splitlines() if line.strip()]
        if not lines and stderr.strip():
            raise silent("squeue", stdout, stderr)
        return sum(len(_refs(line.strip(), stderr)) for line in lines)

    def cancel(self, refs: Sequence[JobRef]) -> Command:
        """`scancel 12 34_[1-3,7]`; ended jobs are passed over in silence."""
        words = []
        for job, lists in elements(refs).items():
            words += [f"{job}_[{some}]" for some in lists] or [job]
        return Command(("scancel", *words))


def _lists(option: str, ids: Sequence[str]) -> Iterator[str]:
    """The option as often as its lists need; sacct adds them up."""
    each = ARGUMENT // (max(map(len, ids), default=0) + 1)
    for first in range(0, len(ids), each):
        yield f"{option}={','.join(ids[first : first + each])}"


def _queued(line: str, stderr: str) -> Iterator[JobStatus]:
    parts = line.strip().split("|", 5)
    if len(parts) != 6:
        raise silent("squeue", line, stderr)
    which, word, reason, left, nodes, name = parts
    state = STATES.get(word.split(" ")[0].rstrip("+"), JobState.UNKNOWN)
    if state is JobState.PENDING and _HELD.search(reason):
        state = JobState.HELD
    for ref in _refs(which, stderr):
        yield JobStatus(
            ref,
            state,
            reason=_reason(word, state, reason),
            seconds_left=_seconds(left) if state is JobState.RUNNING else None,
            nodes="" if nodes in ("(null)", "None assigned") else nodes,
            name=name,
        )


def _recorded(line: str, stderr: str) -> Iterator[JobStatus]:
    parts = line.strip().split("|", 4)
    if len(parts) != 5:
        raise silent("sacct", line, stderr)
    which, words, exit_code, nodes, name = parts
    state = STATES.get(words.split(" ")[0].rstrip("+"), JobState.UNKNOWN)  # "CANCELLED by 1000"
    code, _, number = exit_code.partition(":")
    status = int(code) or (128 + int(number) if number.isdecimal() and int(number) else 0)
    for ref in _refs(which, stderr):
        yield JobStatus(
            ref,
            state,
            reason=_reason(words, state, ""),
            nodes="" if nodes == "None assigned" else nodes,
            exit_code=status if state.over else None,
            name=name,
        )


def _reason(words: str, state: JobState, reason: str) -> str:
    """Slurm's words for why it waits, else for how it ended; of a running job nothing."""
    if reason and reason != "None":
        return reason
    plain = state in (JobState.RUNNING, JobState.ENDED, JobState.PENDING)
    return "" if plain and words.split(" ")[0] not in ("COMPLETING", "REQUEUED") else words


def _refs(which: str, stderr: str) -> list[JobRef]:
    """`12`, `12_3`, and what is left of an array: `12_[5-9%4]`."""
    match = _ID.fullmatch(which)
    if match is None:
        raise silent("squeue", which, stderr)
    job, index, several = match.groups()
    if several is None:
        return [JobRef(job, None if index is None else int(index))]
    refs = []
    for part in several.partition("%")[0].split(","):
        first, _, last = part.partition("-")
        if not first.isdecimal():
            raise SchedulerError(f"Slurm named elements that cannot be understood: {which}")
        refs += [JobRef(job, element) for element in range(int(first), int(last or first) + 1)]
    return refs


def _seconds(text: str) -> float | None:
    """Of `days-hours:minutes:seconds`; None where there is no limit, or no end yet."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
