"""What runs have left behind that nobody needs any more."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from horovod_lb.errors import RunDirectoryError
from horovod_lb.runs import RunDirectory, State, run_directories
from horovod_lb.runs.life import RECORD

if TYPE_CHECKING:
    from horovod_lb.batch.follow import Following
    from horovod_lb.batch.submission import Submission

# Where and with what each life ran stays: small, and `hlb collect` reads it.
_KEPT = (RECORD, "provenance.json")
_OVER = (State.FAILED, State.CANCELLED)


class Kind(Enum):
    """What can be freed; the value says it for people."""

    CHECKPOINTS = "checkpoints of runs with a result"
    SEGMENTS = "logs of earlier lives and of launchers"
    FAILED = "folders of failed, cancelled and lost runs"
    SUBMISSIONS = "submissions that are over"

    @property
    def option(self) -> str:
        """The option that frees it."""
        return f"--{self.name.lower()}"


@dataclass(frozen=True)
class Leftover:
    """Files that can go together. `run` must not be alive when they do; `about` is for people."""

    kind: Kind
    paths: tuple[Path, ...]
    size: int
    about: str
    run: RunDirectory | None = None


def find(folder: Path, jobs: Following | None) -> Iterator[Leftover]:
    """What can be freed in a study's folder; nothing of a run that is alive, waits, or may be doing so.

    `jobs` has asked for every job. A run that goes on from a checkpoint keeps it, and its folder.
    """
    for run in run_directories(folder):
        state = _state(run, jobs)
        if state is not None:
            yield from _of_run(run, state, jobs)
    if jobs is not None and not jobs.unsure:
        newer: set[str] = set()
        for submission in reversed(jobs.submissions):
            if _is_over(submission, jobs, newer):
                about = submission.folder.name
                yield _leftover(Kind.SUBMISSIONS, [submission.folder], about)
            newer |= {run_id for job in submission.jobs for run_id in job.runs}


def free(leftover: Leftover) -> bool:
    """Deletes it; False where its run has come to life meanwhile."""
    if leftover.run is not None and leftover.run.state() is State.RUNNING:
        return False
    for path in leftover.paths:
        if path.is_dir() and not path.is_symlink():
            # Out of sight at once: a run half deleted must not look like a run.
            hidden = path.with_name(f".{path.name}.deleted")
            path.rename(hidden)
            shutil.rmtree(hidden)
        else:
            path.unlink(missing_ok=True)
    return True


def readable(size: float) -> str:
    """`512 B`, `1.5 KiB`, `3.2 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _state(run: RunDirectory, jobs: Following | None) -> State | None:
    """Where a run stands; None where it must be left alone."""
    try:
        state = run.state() if jobs is None else jobs.state(run.path.name).state
    except (RunDirectoryError, ValueError, KeyError):
        return None
    busy = state in (State.RUNNING, State.QUEUED, State.SUBMITTED, State.UNKNOWN)
    # Who does not answer may know of a job that goes on with it.
    unsure = jobs is not None and jobs.unsure and (jobs.damaged or jobs.sent(run.path.name))
    return None if busy or (unsure and not state.has_result) else state


def _of_run(run: RunDirectory, state: State, jobs: Following | None) -> Iterator[Leftover]:
    name = run.path.name
    checkpoints = list(run.checkpoints.glob("*")) if run.checkpoints.is_dir() else []
    if state in _OVER or (state is State.LOST and not checkpoints):
        yield _leftover(Kind.FAILED, [run.path], f"{name}  {state}", run)
        return
    if state.has_result and checkpoints:
        yield _leftover(Kind.CHECKPOINTS, checkpoints, name, run)
    newest = run.life_number()
    logs = [path for number in range(1, newest) for path in _logs(run.segments / str(number))]
    if state.has_result and jobs is not None:
        launchers = {sent.submission.folder / f"{name}.log" for sent in jobs.sent(name)}
        logs += [path for path in sorted(launchers) if path.is_file()]
    if logs:
        yield _leftover(Kind.SEGMENTS, logs, name, run)


def _logs(segment: Path) -> list[Path]:
    return [path for path in segment.iterdir() if path.name not in _KEPT] if segment.is_dir() else []


def _is_over(submission: Submission, jobs: Following, newer: set[str]) -> bool:
    """Its jobs are over, and each of its runs has a result, a newer submission, or is gone."""
    from horovod_lb.batch.verdict import Silence
    from horovod_lb.schedulers.types import JobStatus

    for job in submission.jobs:
        for run_id in job.runs:
            gone = not (jobs.folder / run_id).is_dir()
            if not (gone or run_id in newer or jobs.files(run_id).state.has_result):
                return False
            for sent in jobs.sent(run_id):
                heard = jobs.status(sent) if sent.submission is submission else Silence.FORGOTTEN
                over = heard.state.over if isinstance(heard, JobStatus) else heard is Silence.FORGOTTEN
                if not over:
                    return False
    return True


def _leftover(kind: Kind, paths: list[Path], about: str, run: RunDirectory | None = None) -> Leftover:
    # By inode: the best checkpoint may be one of the newest by another name.
    sizes = {(found.st_dev, found.st_ino): found.st_size for path in paths for found in _files(path)}
    return Leftover(kind, tuple(paths), sum(sizes.values()), about, run)


def _files(path: Path) -> Iterator[os.stat_result]:
    """What a file is, or all files below a folder are."""
    try:
        if not path.is_dir() or path.is_symlink():
            yield path.lstat()
            return
        with os.scandir(path) as entries:
            inner = [Path(entry.path) for entry in entries]
    except OSError:
        return
    for entry in inner:
        yield from _files(entry)
