"""What commands of both batch systems share: lists of elements, directives, answers that are none."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from horovod_lb.errors import RequestError, SchedulerError
from horovod_lb.schedulers.types import JobRef

# Linux takes 131,072 bytes in one argument (MAX_ARG_STRLEN); schedulers' own buffers may be smaller.
ARGUMENT = 120_000
ELEMENTS = 1_000


def check_id(job_id: str) -> str:
    """`job_id` itself. RequestError: it is no id; 0 is none either, LSF takes it for all of a user's jobs."""
    if not re.fullmatch(r"[1-9][0-9]*", job_id):
        raise RequestError(f"{job_id!r} is no job's id")
    return job_id


def check_ids(jobs: Iterable[str]) -> list[str]:
    """Ids, each once, in their order."""
    return list(dict.fromkeys(check_id(job_id) for job_id in jobs))


def elements(refs: Sequence[JobRef]) -> dict[str, list[str]]:
    """By job, lists of elements such as `1-3,7`, each short enough for an argument; none: the whole job."""
    if not refs:
        raise RequestError("there is no job to cancel")
    chosen: dict[str, set[int] | None] = {}
    for ref in refs:
        known = chosen.setdefault(check_id(ref.job_id), set())
        if ref.index is None or known is None:
            chosen[ref.job_id] = None
        else:
            known.add(ref.index)
    return {job: [] if indices is None else _lists(sorted(indices)) for job, indices in chosen.items()}


def _lists(indices: Sequence[int]) -> list[str]:
    """Neighbours as ranges, joined by commas to lists of at most `ELEMENTS` characters."""
    ranges: list[list[int]] = []
    for index in indices:
        if ranges and index == ranges[-1][-1] + 1:
            ranges[-1][1:] = [index]
        else:
            ranges.append([index])
    lists: list[str] = []
    for text in ("-".join(map(str, ends)) for ends in ranges):
        if lists and len(lists[-1]) + len(text) < ELEMENTS:
            lists[-1] += f",{text}"
        else:
            lists.append(text)
    return lists


def directives(script: Path, mark: str) -> list[str]:
    """The words of a job script's lines that begin with `mark` (`#SBATCH`), up to its first command.

    Command lines repeat them: options there win over the user's environment and over a site's defaults, and
    `bsub FILE` need not read them in the file at all.
    """
    words: list[str] = []
    for line in _read(script).split("\n"):
        if line.startswith(f"{mark} "):
            words += shlex.split(line.removeprefix(mark))
        elif line and not line.startswith("#"):
            break
    return words


def _read(script: Path) -> str:
    try:
        return script.read_text()
    except OSError as error:
        raise RequestError(f"job script {script}: cannot be read: {error.strerror}") from None


def said(stdout: str, stderr: str) -> str:
    """All that a command printed, on one line."""
    return " / ".join(line.strip() for line in (stdout + "\n" + stderr).splitlines() if line.strip())


def refused(command: str, stdout: str, stderr: str) -> SchedulerError:
    """The error of a job that was not accepted."""
    return SchedulerError(f"{command} did not take the job: {said(stdout, stderr) or 'it said nothing'}")


def silent(command: str, stdout: str, stderr: str) -> SchedulerError:
    """The error of a question that was not answered."""
    return SchedulerError(f"{command} gave no answer: {said(stdout, stderr) or 'it said nothing'}")
