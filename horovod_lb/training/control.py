"""What the ranks decide together between steps: stop now, save now, and when to ask again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import horovod.tensorflow as hvd
import numpy as np

from horovod_lb.runs import RunDirectory

SECONDS = 1.0


@dataclass(frozen=True)
class Decision:
    """The same on every rank. `due`: this was a step to decide at."""

    due: bool
    stop: bool
    save: bool


_NOTHING = Decision(False, False, False)


class Control:
    """Rank 0 looks at the clock and at the STOP file about once a second and tells the others.

    The message carries the step to ask at next, so that between two decisions there is no communication.
    `busy`: whether it is too early for one more checkpoint.
    """

    def __init__(
        self,
        directory: RunDirectory,
        step: int,
        save_every_minutes: float | None,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._directory, self._busy = directory, busy
        self._next = step + 1
        self._asked_at, self._asked_step = time.monotonic(), step
        self._save_seconds = 60 * save_every_minutes if save_every_minutes else None
        self._saved_at = time.monotonic()

    def saved(self) -> None:
        """A checkpoint was written just now."""
        self._saved_at = time.monotonic()

    def decide(self, step: int) -> Decision:
        """After global step `step` (counted from 1); collective on the steps that are due."""
        if step < self._next:
            return _NOTHING
        message = self._message(step) if hvd.rank() == 0 else np.zeros(3, np.int64)
        if hvd.size() > 1:
            message = hvd.broadcast(message, root_rank=0, name="hlb.control").numpy()
        self._next = int(message[2])
        return Decision(True, bool(message[0]), bool(message[1]))

    def _message(self, step: int) -> np.ndarray:
        now = time.monotonic()
        seconds_a_step = max(now - self._asked_at, 1e-6) / max(1, step - self._asked_step)
        self._asked_at, self._asked_step = now, step
        ahead = max(1, min(int(SECONDS / seconds_a_step), 10 * max(1, step)))
        late = self._save_seconds is not None and now - self._saved_at >= self._save_seconds
        save = late and not self._busy()
        return np.array([self._directory.stop_requested(), save, step + ahead], np.int64)
