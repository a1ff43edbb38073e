"""Lives on other hosts that seem alive but are known to be over: who watched them knows, or has ended."""

from __future__ import annotations

import time
from pathlib import Path

from horovod_lb.runs import RunDirectory, State
from horovod_lb.runs.atomic import read_json, write_json
from horovod_lb.runs.life import describe_this_process, is_alive

FOLDER = "sessions"
SUPERVISOR = "supervisor.json"


def sign(sweep: Path) -> None:
    """Says in the folder of a sweep which process keeps its sessions."""
    write_json(sweep / SUPERVISOR, describe_this_process())


def end(run: RunDirectory, reason: str) -> None:
    """Ends the newest life of `run`, which is known to be over, as `stopped`: the run goes on later.

    The end is a life of its own, so whatever is left of the one before must not write any more.
    """
    run.begin_life("hlb run", supersedes=run.life_number()).finish(State.STOPPED, reason=reason)


def state(run: RunDirectory) -> State:
    """The state of `run`, whose newest life is ended first if its sweep has ended, however alive it seems.

    Sessions end with their sweep, but a life on another host counts as alive until its last sign is old.
    """
    found = run.state()
    if found is not State.RUNNING:
        return found
    sweep, _, _ = str(run.life_record().get("task") or "").rpartition("/")
    supervisor = read_json(run.path.parent / FOLDER / Path(sweep).name / SUPERVISOR) if sweep else None
    # A supervisor on another machine may live: nothing is known of it here.
    if not supervisor or is_alive(supervisor, last_sign=time.time()):
        return found
    end(run, "its sweep ended before it could write a checkpoint")
    return run.state()
