"""Which file `hlb logs` prints: the log of a life, of the launcher that begins it, or of the batch job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from horovod_lb.cli.summaries import following
from horovod_lb.errors import RequestError
from horovod_lb.runs import RunDirectory, rank_log
from horovod_lb.runs.life import read_record

Look = Callable[[], "Source | None"]


@dataclass(frozen=True)
class Source:
    """A log and whose it is, for people."""

    path: Path
    name: str


def of_life(run: RunDirectory, number: int, rank: int) -> Source:
    """The log of one life."""
    record = read_record(run.segments, number)
    _, _, job = (record.get("job") or "").partition(":")
    host = record.get("host")
    words = [f"on {host}" if host else "", f"in job {job}" if job else "", f"rank {rank}" if rank else ""]
    return Source(
        rank_log(run.segments / str(number), rank), " ".join(["life", str(number), *filter(None, words)])
    )


def newest(run: RunDirectory, rank: int) -> Look:
    """Looks for the log of the newest life, else of the launcher that is to begin the first one."""

    def look() -> Source | None:
        number = run.life_number()
        if number:
            return of_life(run, number, rank)
        jobs = following(run.path.parent, ask=False)
        path = jobs.launcher_log(run.path.name) if jobs else None
        return Source(path, "the launcher, no life has begun yet") if path else None

    return look


def of_job(run: RunDirectory) -> Look:
    """Looks for the log of the batch job that worked on a run last."""

    def look() -> Source | None:
        jobs = following(run.path.parent, ask=False)
        if jobs is None:
            raise RequestError(f"run {run.path.name} was never submitted; there is no job with a log")
        path = next(jobs.job_logs(run.path.name), None)
        return Source(path, f"job {path.stem}") if path else None

    return look
