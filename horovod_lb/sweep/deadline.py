"""When the allocation that a sweep runs in ends."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping

from horovod_lb.errors import SchedulerError
from horovod_lb.schedulers import scheduler

# Before the end, for every run to agree on a step and write a checkpoint; of a short time a quarter.
GRACE_SECONDS = 120.0

# A scheduler that does not answer is no reason not to begin.
PATIENCE_SECONDS = 20.0


def stopping_time(seconds: float) -> float:
    """When a sweep that may take `seconds` from now stops its runs, in seconds since 1970."""
    return time.time() + seconds - min(GRACE_SECONDS, seconds / 4)


def seconds_left(environ: Mapping[str, str]) -> float | None:
    """Seconds until the end of the Slurm or LSF allocation; None outside of one, or where nobody tells.

    Slurm 23.02 and later say it in `SLURM_JOB_END_TIME`; otherwise the scheduler is asked.
    """
    end = environ.get("SLURM_JOB_END_TIME", "")
    if end.isdecimal():
        return int(end) - time.time()
    for name, variable in (("slurm", "SLURM_JOB_ID"), ("lsf", "LSB_JOBID")):
        if job := environ.get(variable):
            return _asked(name, job)
    return None


def _asked(name: str, job: str) -> float | None:
    asked = scheduler(name)
    try:
        answer = subprocess.run(
            asked.query([job]).argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        known = asked.parse_query(answer.stdout, answer.stderr)
    except (OSError, subprocess.TimeoutExpired, SchedulerError):
        return None
    return next((status.seconds_left for status in known if status.ref.job_id == job), None)
