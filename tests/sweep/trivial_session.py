"""A session whose runs train nothing: real queue, claims, MPI and run directories, but its own `execute`.

What a run does is in its `point`: `do` is complete, raise, exit, kill, orphan or wait (`seconds` an epoch);
`rank` is the one that fails.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from mpi4py import MPI

from horovod_lb.errors import RunDirectoryError
from horovod_lb.runs import Life, RunDirectory, log_to, rank_log
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
        print(f"rank {COMM.rank} of {COMM.size} on {os.uname().nodename} does {point['do']}")
        return train(run, life, point)


def train(run: RunDirectory, life: Life | None, point: dict[str, Any]) -> str:
    began = time.time()
    epochs = point.get("epochs", 2)
    done = COMM.bcast(len(run.read_metrics()))
    if COMM.rank == point.get("rank", 0):
        fail(point["do"])
    for epoch in range(done + 1, epochs + 1):
        if COMM.bcast(run.stop_requested() if COMM.rank == 0 else None):
            if life:
                life.finish("stopped", reason="asked to")
            return "stopped"
        time.sleep(point.get("seconds", 0))
        COMM.Barrier()
        if life:
            life.append_metrics({"epoch": epoch, "val_accuracy": epoch / epochs})
            life.heartbeat(epoch=epoch, epochs=epochs, accuracy=epoch / epochs)
    if life:
        life.finish(
            "completed",
            descriptors=len(list(Path("/proc/self/fd").iterdir())),
            pid=os.getpid(),
            ranks=COMM.size,
            allreduce=os.environ["HLB_ALLREDUCE"],
            host=os.uname().nodename,
            gpus=os.environ.get("CUDA_VISIBLE_DEVICES"),
            threads=os.environ["OMP_NUM_THREADS"],
            began=began,
        )
    return "completed"


def fail(how: str) -> None:
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
