"""What goes wrong on clusters, on request: commands that do not answer, nodes that fail, the end of all."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from horovod_lb.rehearsal import dispatcher
from horovod_lb.rehearsal.processes import started
from horovod_lb.rehearsal.table import RUNNING, Table

_FILE = "fault.json"
_TEXTS = {
    "lsf": "LSF is down. Please wait ...",
    "slurm": "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
}


def break_down(folder: Path, *, system: str = "lsf", seconds: float = 0.0, status: int = 255) -> None:
    """From now on every command waits `seconds`, says that the scheduler is down, and fails with `status`."""
    (folder / _FILE).write_text(json.dumps({"text": _TEXTS[system], "seconds": seconds, "status": status}))


def repair(folder: Path) -> None:
    """Commands answer again."""
    (folder / _FILE).unlink(missing_ok=True)


def answer(folder: Path, command: str) -> int | None:
    """For the commands: None where all is well, else the exit status to leave with."""
    try:
        fault = json.loads((folder / _FILE).read_text())
    except FileNotFoundError:
        return None
    time.sleep(fault["seconds"])
    print(f"{command}: {fault['text']}", file=sys.stderr)
    return int(fault["status"])


def fail_node(folder: Path, job_id: int, index: int = 0) -> None:
    """A node of a running job fails: all its processes are killed at once.

    A rerunnable job (`bsub -r`, `sbatch --requeue`) starts over, another one is over.
    ValueError: it does not run.
    """
    _wish(folder, job_id, index, "fail")


def hurry(folder: Path, job_id: int, index: int = 0) -> None:
    """Moves the clock of a running job on to the next signal that its wall time brings: warning, limit, end.

    ValueError: it does not run.
    """
    _wish(folder, job_id, index, "hurry")


def _wish(folder: Path, job_id: int, index: int, kind: str) -> None:
    table = Table(folder)
    with table.locked():
        job = table.job(job_id)
        element = job.element(index) if job else None
        if job is None or element is None or element.state != RUNNING:
            raise ValueError(f"{job_id}[{index}] does not run")
        element.wish = [kind]
        table.write(job)


def dispatcher_pid(folder: Path) -> int | None:
    """The process that starts and watches jobs; None when there is none."""
    try:
        pid = int(json.loads((folder / "dispatcher.json").read_text())["pid"])
    except (FileNotFoundError, ValueError):
        return None
    return pid if started(pid) else None


def stop(folder: Path, patience: float = 30.0) -> None:
    """Kills all jobs and the dispatcher; returns when they are gone. TimeoutError: they are not."""
    if not (folder / "jobs").is_dir():
        return
    request = folder / dispatcher.STOP
    request.touch()
    end = time.monotonic() + patience
    asked = 0.0
    while request.exists() or dispatcher_pid(folder) is not None:
        # Whoever works here sees the request; where nobody does, somebody must.
        if request.exists() and time.monotonic() - asked > 1.0:
            dispatcher.wake(folder)
            asked = time.monotonic()
        if time.monotonic() > end:
            raise TimeoutError(f"the jobs in {folder} do not end; see dispatcher.log there")
        time.sleep(0.02)
