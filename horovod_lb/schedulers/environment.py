"""The environment variables that a job script sets for its ranks."""

from __future__ import annotations

import re

from horovod_lb.errors import RequestError
from horovod_lb.recipe import communication
from horovod_lb.schedulers.hosts import RANKS_VARIABLE
from horovod_lb.schedulers.launchers import thread_environment
from horovod_lb.schedulers.types import JobRequest

# What the script, its task or the site's set-up give to ranks besides: mpirun must be told of them.
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "HLB_DATA")
JOB = ("HLB_JOB", "HLB_JOB_SCRIPT")
STAGED = ("HLB_STAGE_SECONDS",)


def variables(request: JobRequest) -> dict[str, str]:
    """By name: threads, the machine's and the request's own, the all-reduce algorithm, and what hlb reads.

    Later ones win, so that a site may change the threads, but neither it nor a study the algorithm of the
    recipe.

    Raises:
        RequestError: a name that is none, or an unknown algorithm.
    """
    machine = request.machine
    found = {
        "PYTHONUNBUFFERED": "1",
        **thread_environment(request.threads),
        **machine.environment,
        **request.environment,
        **communication.environment(request.allreduce),
        "HLB_ALLREDUCE": request.allreduce,
        "HLB_MACHINE": machine.name,
        "HLB_GPUS": machine.gpu_visibility,
        RANKS_VARIABLE: str(machine.ranks_per_node),
    }
    if machine.container:
        found["HLB_PYTHON"] = machine.python or "python3"
    for name in found:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise RequestError(f"job {request.name}: {name!r} cannot be the name of an environment variable")
    return found


def passed_on(request: JobRequest) -> tuple[str, ...]:
    """The names of all that the ranks need, for launchers that pass on what they are told."""
    job = JOB if request.machine.scheduler != "none" else ()
    staged = STAGED if request.stage_from and request.machine.storage.stage_in else ()
    return tuple(dict.fromkeys((*variables(request), *PASSED_ON, *job, *staged)))


def python(request: JobRequest) -> str:
    """The interpreter that runs the task: with a container, that outside of it."""
    return request.python if request.machine.container else request.machine.python or request.python


def bin_folder(interpreter: str) -> str | None:
    """The folder of an interpreter that is named by its path: there are mpirun and hlb, too."""
    folder, slash, _ = interpreter.rpartition("/")
    return folder if slash else None
