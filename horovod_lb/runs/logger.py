"""`RunLogger`: a run directory for scripts that know nothing of studies."""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import Any

from horovod_lb.runs.directory import RunDirectory
from horovod_lb.runs.state import State


class RunLogger:
    """Writes a run directory that `hlb collect` and `hlb status` read, epoch by epoch.

    `about` says what the run was: any column of `runs.csv` (`batch_size=256, optimizer="adam",
    model="lenet"`), and others. In a parallel script one rank alone logs. Begun again on the same folder, it
    goes on there; a folder that holds a finished run is refused with `RunDirectoryError`.

        with RunLogger("runs/mine/b256", study="mine", seed=0, batch_size=256) as logger:
            for epoch in range(1, 6):
                ...
                logger.epoch(epoch, train_loss=0.1, val_accuracy=0.98)
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        study: str | None = None,
        seed: int | None = None,
        **about: Any,
    ) -> None:
        run = RunDirectory(directory)
        path = run.path.resolve()
        spec = {
            "schema": 1,
            "run_id": path.name,
            "study": study or path.parent.name,
            "point": {},
            "seed": seed,
            "derived": about,
        }
        self.directory = run.create(spec)
        self._life = run.begin_life("RunLogger", take_over=True)
        self._epochs = about.get("epochs")
        self._last = time.monotonic()
        self._finished = False

    def epoch(self, epoch: int, **values: Any) -> None:
        """Writes the row of `epoch` (from 1) with columns of `metrics.csv` (`val_accuracy=0.98`) and others.

        `seconds` is measured since the row before where it is not given. An epoch written again replaces its
        old row and those after it.
        """
        now = time.monotonic()
        self._life.truncate_metrics(epoch - 1)
        self._life.append_metrics({"epoch": epoch, "seconds": now - self._last, **values})
        self._last = now
        accuracy = values.get("val_accuracy", values.get("train_accuracy"))
        self._life.heartbeat(
            epoch=epoch,
            epochs=self._epochs,
            step=values.get("step"),
            accuracy=accuracy,
            images_per_second=values.get("images_per_second"),
        )

    def finish(self, *, state: str = "completed", **values: Any) -> None:
        """Writes the exit record: `test_accuracy=..., outcome="ok"`; a second call does nothing."""
        if not self._finished:
            self._finished = True
            self._life.finish(state, **values)

    def __enter__(self) -> RunLogger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
        elif isinstance(error, KeyboardInterrupt):
            self.finish(state=State.STOPPED.value, reason="interrupted")
        else:
            self.finish(state=State.FAILED.value, error=f"{type(error).__name__}: {error}")
