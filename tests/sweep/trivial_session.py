"""A session whose runs train nothing: the real queue, claims, MPI and run directories; `execute` is in this file.

What a run does is in its `point`: {"do": "complete" | "raise" | "kill" | "exit" | "wait" | "orphan", "rank":
which}.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from mpi4py import MPI

from horovod_lb.errors import RunDirectoryError
from horovod_lb.runs import RunDirectory, log_to, rank_log
from horovod_lb.training import session

COMM = MPI.COMM_WORLD


def execute(path: Path) -> str:
    run = RunDirectory(path)
    point = run.read_spec()["point"]
    life, problem = None, None
    if COMM.rank == 0:
        try:
            life = run.begin_life("trivial session")
        except RunDirectoryError as error:
            problem = str(error)
    number, problem = COMM.bcast((life.number if life else 0, problem))
    if problem:
        raise RunDirectoryError(problem)
    with log_to(rank_log(run.segments / str(number), COMM.rank)):
        print(f"rank {COMM.rank} of {COMM.size} does {point['do']}")
        os.system(f"echo a child of rank {COMM.rank}")
        return _train(run, life, point)


def _train(run: RunDirectory, life, point) -> str:
    epochs = point.get("epochs", 2)
    done = len(run.read_metrics())
    COMM.Barrier()
    if COMM.rank == point.get("rank", 0):
        _fail(point["do"])
    for epoch in range(done + 1, epochs + 1):
        stop = COMM.bcast(run.stop_requested() if COMM.rank == 0 else None)
        if stop:
            if life:
                life.finish("stopped", reason="asked to")
            return "stopped"
        if point["do"] == "wait":
            time.sleep(point["seconds"])
        COMM.Barrier()
        if life:
            life.append_metrics({"epoch": epoch, "val_accuracy": epoch / epochs})
            life.heartbeat(epoch=epoch, epochs=epochs, accuracy=epoch / epochs, seconds_left=0.1 * (epochs -
            epoch))
    if life:
        life.finish("completed", descriptors=len(os.listdir("/proc/self/fd")), pid=os.getpid(),
        ranks=COMM.size)
    return "completed"


def _fail(how: str) -> None:
    if how == "raise":
        raise ValueError("the learning rate is purple")
    if how == "exit":
        sys.exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "orphan":
        os.kill(os.getppid(), signal.SIGKILL)  # mpirun
        time.sleep(600)


if __name__ == "__main__":
    session.main(execute=execute)
