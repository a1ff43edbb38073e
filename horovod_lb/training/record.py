"""What rank 0 writes of a run while it trains: tables, heartbeat, events, and lines of the log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from horovod_lb.errors import DiskError
from horovod_lb.recipe.timeline import Timeline
from horovod_lb.runs import Life


class Record:
    """Writes into a run's folder, on the one rank that may; on the others nothing happens.

    A full disk or a folder that has become read-only does not end the training: it is said, and what could
    not be written waits for the next chance. `rows` are those of `metrics.csv`, a part of every checkpoint.
    Once a newer life owns the run, everything raises `RunDirectoryError`, as in `Life`.
    """

    def __init__(self, life: Life, writes: bool) -> None:
        self.rows: list[dict[str, Any]] = []
        self.writes, self._life = writes, life
        self._waiting: list[Callable[[], None]] = []
        self._problem = ""

    def restore(self, rows: Sequence[Mapping[str, Any]], step: int) -> None:
        """Go on after `step`, with the `rows` of the epochs up to there."""
        if self.writes:
            self.rows = [dict(row) for row in rows]
            self._life.restore_metrics(self.rows, step)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """One more row of `metrics.csv`."""
        if self.writes:
            plain = {key: value.item() if hasattr(value, "item") else value for key, value in row.items()}
            self.rows.append(plain)
            self._write(lambda: self._life.append_metrics(plain))

    def steps(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """More rows of `steps.csv`."""
        if self.writes and rows:
            self._write(lambda: self._life.append_steps(rows))

    def event(self, kind: str, **fields: Any) -> None:
        """One more event."""
        if self.writes:
            self._write(lambda: self._life.event(kind, **fields))

    def heartbeat(
        self, timeline: Timeline, epoch: int, step: int, accuracy: float, rate: float | None
    ) -> None:
        """A sign of life after `step` steps, in `epoch`, at `rate` images per second; none on a full disk."""
        if not (self.writes and self.catch_up()):
            return
        with suppress(DiskError):
            self._life.heartbeat(
                epoch=epoch,
                epochs=timeline.epoch_ends[-1][0],
                step=step,
                steps=timeline.total_steps,
                accuracy=accuracy,
                images_per_second=rate,
                seconds_left=rate and (timeline.total_steps - step) * timeline.batch_size / rate,
            )

    def say(self, line: str) -> None:
        """A line of the log, which may be on a full disk, too."""
        if self.writes:
            with suppress(OSError):
                print(line, flush=True)

    def catch_up(self) -> bool:
        """Write what waits; whether all of it is on the disk now."""
        while self._waiting:
            try:
                self._waiting[0]()
            except DiskError as error:
                self._warn(str(error))
                return False
            del self._waiting[0]
        self._problem = ""
        return True

    @property
    def problem(self) -> str:
        """Why something still waits; empty where nothing does."""
        return self._problem

    @property
    def best(self) -> dict[str, Any] | None:
        """The first of the rows with the highest validation accuracy; None before there is one."""
        known = [row for row in self.rows if row["val_accuracy"] == row["val_accuracy"]]
        return max(known, key=lambda row: row["val_accuracy"], default=None)

    def _write(self, action: Callable[[], None]) -> None:
        self._waiting.append(action)
        self.catch_up()

    def _warn(self, problem: str) -> None:
        if not self._problem:
            self._waiting.append(lambda: self._life.event("disk", reason=problem))
            with suppress(OSError):
                print(f"warning: {problem}; training goes on", file=sys.stderr, flush=True)
        self._problem = problem
