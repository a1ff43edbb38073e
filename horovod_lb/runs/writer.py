"""A life of a run: the right to write into its folder, checked before every write."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from horovod_lb.errors import RunDirectoryError
from horovod_lb.runs import life as lives
from horovod_lb.runs import metrics
from horovod_lb.runs.atomic import append_line, plain, write_bytes, write_json
from horovod_lb.runs.state import EXIT_STATES, State

if TYPE_CHECKING:
    from horovod_lb.runs.directory import RunDirectory


class Life:
    """One life of a run: the right to write. Every write first makes sure that no newer life has begun.

    All methods that write raise `RunDirectoryError` once a newer life owns the run or this one is finished.
    """

    def __init__(
        self, run: RunDirectory, number: int, directory: Path, *, began: float | None = None
    ) -> None:
        self.run = run
        self.number = number
        self.directory = directory
        self._began = time.time() if began is None else began
        self._finished = False

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Appends a row to `metrics.csv`: the columns of `metrics.COLUMNS` by name, then measurements."""
        self.fence()
        metrics.append(self.run.metrics_csv, row)

    def append_steps(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Appends rows to `steps.csv`: `step`, the steps done, then what was measured after it."""
        self.fence()
        metrics.append_steps(self.run.steps_csv, rows)

    def truncate_metrics(self, epoch: int) -> None:
        """Drops the rows after `epoch`, which this life trains again."""
        self.fence()
        metrics.truncate(self.run.metrics_csv, epoch)

    def restore_metrics(self, rows: Sequence[Mapping[str, Any]], step: int) -> None:
        """Makes `rows` the table and drops the rows of `steps.csv` after `step`.

        What an earlier life wrote beyond the checkpoint that this one starts from is trained again.
        """
        self.fence()
        metrics.restore(self.run.metrics_csv, rows)
        metrics.truncate(self.run.steps_csv, step, "step")

    def heartbeat(self, **fields: Any) -> None:
        """Replaces `heartbeat.json`: a sign of life and where the training stands.

        The usual fields: `epoch, epochs, step, steps, accuracy, images_per_second, seconds_left` (seconds).
        """
        self.fence()
        head = {"time": time.time(), "life": self.number, "host": os.uname().nodename, "pid": os.getpid()}
        write_json(self.run.heartbeat_json, {**head, **fields})

    def event(self, kind: str, **fields: Any) -> None:
        """Appends a line to `events.jsonl`."""
        self.fence()
        line = {"time": time.time(), "life": self.number, "kind": kind, **fields}
        append_line(self.run.events_jsonl, json.dumps(plain(line), allow_nan=False))

    def attach(self, name: str, data: bytes) -> None:
        """Keeps `data` as the file `segments/<n>/<name>`."""
        self.fence()
        write_bytes(self.directory / name, data)

    def provenance(self, mapping: Mapping[str, Any]) -> None:
        """Writes `segments/<n>/provenance.json`."""
        self.fence()
        write_json(self.directory / "provenance.json", mapping)

    def finish(
        self, state: State | str, outcome: str | None = None, reason: str | None = None, **fields: Any
    ) -> None:
        """Writes the exit record, which ends this life, and takes a request to stop back.

        A run that stops because it was cancelled ends as `cancelled`.

        `state`: completed, diverged, stopped, failed or cancelled. `fields`: `test_loss, test_accuracy,
        wall_seconds, images_per_second, compute_seconds, allreduce_seconds, error` and what else the run has
        to say; `wall_seconds` is measured from the beginning of this life where it is not given.
        """
        state = State(state)
        if state not in EXIT_STATES:
            raise ValueError(f"a run cannot end as {state}; it can end as {', '.join(sorted(EXIT_STATES))}")
        self.fence()
        if state is State.STOPPED and self.run.cancel_requested():
            state = State.CANCELLED
        now = time.time()
        record = {
            "state": state.value,
            "outcome": outcome,
            "reason": reason,
            "life": self.number,
            "time": now,
        }
        self.event("end", state=state.value, reason=reason)
        write_json(self.run.exit_json, {**record, "wall_seconds": now - self._began, **fields})
        self._finished = True
        self.run.clear_stop()

    def fence(self) -> None:
        """Raises `RunDirectoryError` where this life must not write any more."""
        if self._finished:
            raise RunDirectoryError(f"{self.run.path}: life {self.number} is finished and must not write")
        newest = lives.newest(self.run.segments)
        if newest != self.number:
            raise RunDirectoryError(
                f"{self.run.path}: life {newest} owns the run now; life {self.number} must not write any more"
            )
