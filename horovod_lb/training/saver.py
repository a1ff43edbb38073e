"""Saves the state of a run while it trains, and restores it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import horovod.tensorflow as hvd
import numpy as np
import tensorflow as tf

from horovod_lb.distributed.broadcast import broadcast_variables
from horovod_lb.errors import DiskError
from horovod_lb.runs import Life
from horovod_lb.training import checkpoint
from horovod_lb.training.checkpoint import Position
from horovod_lb.training.record import Record
from horovod_lb.training.streams import host_state, set_host_state


class Saver:
    """Checkpoints of one run: rank 0 writes and reads them, all ranks start from what it has read.

    `save` copies the variables and returns; a thread writes them to the disk, one checkpoint at a time. A
    checkpoint that cannot be written is an event and a line of the log; those before it stay.

    Args:
        life: whose run it is; once a newer life has begun, nothing of this one gets its name any more.
        record: its rows go into every checkpoint.
        variables: the state.
        options: the `checkpoint` section of `run.json`.

    Attributes:
        failed: why the last checkpoint is not on the disk; empty where it is.
    """

    def __init__(
        self, life: Life, record: Record, variables: Sequence[Any], options: Mapping[str, Any]
    ) -> None:
        self.folder = life.run.checkpoints
        self._life, self._record, self._variables = life, record, list(variables)
        self._keep, self._keep_best = int(options.get("keep") or 1), options.get("keep_best", True)
        self._every = int(options.get("every_epochs") or 1)
        self._copies: list[np.ndarray] = []
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None
        self._step = 0
        self.failed = ""

    def __enter__(self) -> Saver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """However training ends: the file that is being written gets its name, or never will."""
        self._pool.shutdown()

    def restore(self) -> Position:
        """The newest whole checkpoint, or the start, on every rank; collective.

        Raises:
            RunDirectoryError: on rank 0, for a checkpoint of another model or optimizer.
        """
        told: dict[str, Any] = {"position": asdict(Position(0, 0)), "random": None}
        if self._record.writes:
            found, damaged = checkpoint.find(self.folder)
            for one in damaged:
                self._record.say(f"{one.path} is damaged ({one.reason}) and passed over")
                self._record.event("checkpoint_damaged", file=one.path.name, reason=one.reason)
            if damaged and found is None:
                self._record.say("no checkpoint is whole: training begins anew")
            if found is not None:
                checkpoint.fill(self._variables, found)
                told = {key: found.meta[key] for key in told}
            self._record.restore(found.meta["rows"] if found else [], told["position"]["step"])
            self._copy()  # the memory for it, so that no step waits for that
        if hvd.size() > 1:
            told = _broadcast(told)
            broadcast_variables(self._variables)
        if told["random"]:
            set_host_state(told["random"])
        return checkpoint.position_of(told["position"])

    def due(self, epoch: int, step: int) -> bool:
        """Whether the state at the end of `epoch`, after `step`, is to be saved."""
        best = self._record.best if self._keep_best else None
        return epoch % self._every == 0 or (best is not None and best["step"] == step)

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._writing is not None and not self._writing.done()

    def save(self, position: Position) -> None:
        """Copy the state at `position`, and have it written; waits for a checkpoint that is being written."""
        if not self._record.writes:
            return
        self.settle()
        # Rows that a checkpoint counts on are on the disk before it is.
        if not self._record.catch_up():
            self._report(position.step, self._record.problem)
            return
        self._copy()
        best = self._record.best
        meta = {
            "position": asdict(position),
            "paths": [variable.path for variable in self._variables],
            "random": host_state(),
            "best": best and {key: best[key] for key in ("epoch", "step", "val_accuracy")},
            "rows": list(self._record.rows),
            "life": self._life.number,
        }
        is_best = self._keep_best and best is not None and best["step"] == position.step
        self._step = position.step
        path = checkpoint.file_of(self.folder, position.step)
        self._writing = self._pool.submit(self._write, path, meta, is_best)

    def look(self) -> None:
        """Tell of a checkpoint that could not be written since; does not wait."""
        if not self.busy:
            self.settle()

    def settle(self) -> None:
        """Wait until the checkpoint that is being written is on the disk; `failed` says why it is not."""
        if self._writing is None:
            return
        writing, self._writing = self._writing, None
        try:
            writing.result()
            self.failed = ""
        except DiskError as error:
            self._report(self._step, str(error))

    def _copy(self) -> None:
        # Views on a CPU: NumPy's `asarray` of a variable would be a copy of its own.
        values = [np.asarray(tf.convert_to_tensor(variable)) for variable in self._variables]
        if not self._copies:
            self._copies = [np.empty(value.shape, value.dtype) for value in values]
        for copy, value in zip(self._copies, values, strict=True):
            np.copyto(copy, value)

    def _write(self, path: Path, meta: dict[str, Any], best: bool) -> None:
        checkpoint.write(path, self._copies, meta, self._life.fence)
        if best:
            checkpoint.keep_as_best(path)
        self._life.fence()
        checkpoint.prune(self.folder, meta["position"]["step"], self._keep)

    def _report(self, step: int, reason: str) -> None:
        self.failed = reason
        self._record.say(f"warning: no checkpoint of step {step}: {reason}")
        self._record.event("checkpoint_failed", step=step, reason=reason)


def _broadcast(value: dict[str, Any]) -> dict[str, Any]:
    """Rank 0's `value`, which JSON can hold."""
    data = np.frombuffer(json.dumps(value).encode(), np.uint8)
    size = int(hvd.broadcast(np.array([data.size]), root_rank=0, name="hlb.restored.size").numpy()[0])
    data = data if hvd.rank() == 0 else np.zeros(size, np.uint8)
    return json.loads(hvd.broadcast(data, root_rank=0, name="hlb.restored").numpy().tobytes())
