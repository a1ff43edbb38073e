"""One rank of a session whose runs are stopped and killed: `mpirun -n K python killing.py OUT_DIR`.

`OUT_DIR/plan.json` lists runs: `{name, deaths, lives}`. A run's n-th life ends by its n-th death, at the step
given or at the first one after it; then the run is begun again, at most `lives` times where that is given.
What every group is made of is noted in `OUT_DIR/<run>/order.<life>.<rank>`.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import keras
from mpi4py import MPI
from points import normalized, spec

import horovod_lb as hlb
from horovod_lb.data import Augmented, DataSet, load
from horovod_lb.runs import RunDirectory, State
from horovod_lb.training import control
from horovod_lb.training.step import TrainingStep
from horovod_lb.training.worker import execute

# Steps last milliseconds here: rank 0 looks for the STOP file and at the clock after each.
control.SECONDS = 0.0

# 1,440 examples in 48 steps of six groups; epochs end within steps, after 10, 20, 29, 39 and 48.
LAST = 40
POINT = {
    "epochs": 5,
    "batch_size": 150,
    "groups": 6,
    "reference": {"learning_rate": 0.02, "batch_size": 75},
}


class Death(keras.callbacks.Callback):
    """The end of this life: `how` is stop, term, one or all, from `step` on; `rank`, `delay` in seconds."""

    def __init__(self, death: dict[str, Any], run: Any, pids: list[int]) -> None:
        super().__init__()
        self.death, self.run, self.pids = death, run, pids
        self.timer: threading.Timer | None = None

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        death, rank = self.death, self.run.world.rank
        if self.pids and batch >= death["step"] and rank == death["rank"] % self.run.world.size:
            end = {"stop": self.stop, "term": self.term, "one": self.one, "all": self.all}[death["how"]]
            self.timer = threading.Timer(death["delay"], end)
            self.timer.start()
            self.pids, self.doomed = [], self.pids
        if self.timer is not None and batch >= LAST:
            self.timer.join()  # steps may be quicker than the delay: no run is over before its death

    def stop(self) -> None:
        self.run.directory.request_stop()

    def term(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def one(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def all(self) -> None:
        """The launcher as well, as when a machine fails."""
        for pid in [*(pid for pid in self.doomed if pid != os.getpid()), os.getppid(), os.getpid()]:
            os.kill(pid, signal.SIGKILL)


def note_order(path: Path) -> Any:
    """Make every training step write down what its groups are made of; returns what undoes it."""
    original, file = TrainingStep.__call__, path.open("w", buffering=1)

    def noting(self: Any, step: int, groups: Any, first: int, *more: Any) -> Any:
        for number, (x, y) in enumerate(groups, first):
            digest = hashlib.sha1(x.tobytes() + y.tobytes()).hexdigest()
            file.write(f"{step} {number} {digest}\n")
        return original(self, step, groups, first, *more)

    def undo() -> None:
        TrainingStep.__call__ = original
        file.close()

    TrainingStep.__call__ = noting
    return undo


def train(run: Any, deaths: list[dict[str, Any]], pids: list[int]) -> None:
    digits = load(run.spec["data"])
    data = DataSet(digits.info, Augmented(digits.train, run.seed, pad=1), digits.val, digits.test)
    life = run.life.number
    undo = note_order(run.directory.path / f"order.{life}.{run.world.rank}")
    callbacks = [Death(deaths[life - 1], run, pids)] if life <= len(deaths) else []
    try:
        run.fit(normalized(0.25), data=data, callbacks=callbacks)
    finally:
        undo()


def main() -> None:
    out = Path(sys.argv[1])
    world = hlb.init()
    comm: Any = MPI.COMM_WORLD
    pids = comm.allgather(os.getpid())
    for one in json.loads((out / "plan.json").read_text()):
        directory = RunDirectory(out / one["name"])
        if world.rank == 0:
            directory.create(spec(one["name"], checkpoint=one["checkpoint"], **POINT))
        while comm.bcast(wanted(directory, one) if world.rank == 0 else None):
            execute(directory.path, lambda run, one=one: train(run, one["deaths"], pids))


def wanted(directory: RunDirectory, one: dict[str, Any]) -> bool:
    # As a sweep does: the launcher of a rank that died has asked the others of that life to stop.
    directory.clear_stop()
    return directory.state() is not State.COMPLETED and directory.life_number() < one["lives"]


if __name__ == "__main__":
    main()
