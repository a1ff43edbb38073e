"""Lives of a run: who owns its folder now, and whether that process is still there.

A run's folder is written by one life at a time. A life is claimed by renaming a prepared folder to
`segments/<n>/`, which succeeds for one process only; its number fences the others off: whoever finds a newer
life must not write any more.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from horovod_lb.errors import RunDirectoryError
from horovod_lb.runs.atomic import fsync_directory, read_json, write_json

# A life on another machine is held to be dead when its heartbeat is older. Who trains beats much more often.
STALE_SECONDS = 300.0

RECORD = "life.json"

# What a batch job tells its processes: which job it is (`slurm:123_4`), and which of its lives this is.
JOB_VARIABLE = "HLB_JOB"
TASK_VARIABLE = "HLB_TASK"


def newest(segments: Path) -> int:
    """The number of the newest life under `segments`; 0 when there was none yet."""
    try:
        with os.scandir(segments) as entries:
            return max((int(entry.name) for entry in entries if entry.name.isdecimal()), default=0)
    except (FileNotFoundError, NotADirectoryError):
        return 0


def claim(segments: Path, number: int, record: Mapping[str, Any]) -> bool:
    """Makes `segments/<number>/` with `record` in it; False when another process was first."""
    segments.mkdir(parents=True, exist_ok=True)
    prepared = segments / f".{os.getpid()}.{time.monotonic_ns()}"
    prepared.mkdir()
    try:
        write_json(prepared / RECORD, record)
        # A folder that is not empty cannot be renamed over: of two claims one fails.
        prepared.rename(segments / str(number))
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise RunDirectoryError(f"cannot write {segments / str(number)}: {error.strerror}") from error
        (prepared / RECORD).unlink()
        prepared.rmdir()
        return False
    fsync_directory(segments)
    return True


def read_record(segments: Path, number: int) -> dict[str, Any]:
    """What life `number` said: `life, time, owner, host, place, pid, process_start, job, task`."""
    return read_json(segments / str(number) / RECORD) or {}


def describe_this_process() -> dict[str, Any]:
    """How another process finds out whether this one is still alive."""
    pid = os.getpid()
    return {
        "host": os.uname().nodename,
        "place": _place(),
        "pid": pid,
        "process_start": process_start(pid),
        "job": os.environ.get(JOB_VARIABLE),
        "task": os.environ.get(TASK_VARIABLE),
    }


def is_alive(record: Mapping[str, Any], last_sign: float) -> bool:
    """Whether the process of a life is there: on this machine by its process id, elsewhere by its last sign.

    `last_sign` is the time in seconds since 1970 of the life's latest heartbeat, or of its beginning.
    """
    if record.get("place") == _place():
        start = process_start(int(record["pid"]))
        return start is not None and start == record.get("process_start")
    return time.time() - last_sign < STALE_SECONDS


def same_job_earlier_task(record: Mapping[str, Any]) -> bool:
    """Whether a life belongs to an earlier life of this very batch job, which the scheduler has ended.

    A job that was requeued has the same id, and its processes of before may live on where the scheduler has
    lost them.
    """
    job, task = os.environ.get(JOB_VARIABLE), os.environ.get(TASK_VARIABLE)
    return bool(job) and bool(task) and record.get("job") == job and record.get("task") not in (None, task)


def process_start(pid: int) -> int | None:
    """When process `pid` began, as a number that no later process of this id shares; None when it is gone.

    Linux: clock ticks since boot, field 22 of `/proc/<pid>/stat` (proc(5)); a zombie is gone. Elsewhere: 0.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return 0 if not Path("/proc/self/stat").exists() and _signal_reaches(pid) else None
    fields = stat[
        stat.rindex(b")") + 2 :
    ].split()  # the command's name, field 2, may hold spaces and parentheses
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def _signal_reaches(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _place() -> str:
    """Names the set of process ids that this process sees: host, boot and process namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{os.uname().nodename} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return os.uname().nodename
