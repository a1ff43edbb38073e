"""The run directory: every file name of design and disk in one place, and what the files say together.

run.json  metrics.csv  steps.csv  events.jsonl  heartbeat.json  checkpoints/  segments/<n>/  STOP  exit.json
model.keras and tensorboard/ where they were asked for
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from horovod_lb.errors import RunDirectoryError
from horovod_lb.runs import life as lives
from horovod_lb.runs import metrics
from horovod_lb.runs.atomic import read_json, read_lines, sweep_up, write_json
from horovod_lb.runs.state import State
from horovod_lb.runs.writer import Life


class RunTakenError(RunDirectoryError):
    """Another life owns the run, or it has its result: there is nothing to do here."""


class _Inside:
    """A path in the folder, put together when it is asked for: most runs of a study need but few of them."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, run: RunDirectory, owner: type[RunDirectory]) -> Path:
        return run.path / self._name


class RunDirectory:
    """The folder of one run. Reading needs no life; writing results does, see `begin_life`."""

    run_json = _Inside("run.json")
    metrics_csv = _Inside("metrics.csv")
    steps_csv = _Inside("steps.csv")
    events_jsonl = _Inside("events.jsonl")
    heartbeat_json = _Inside("heartbeat.json")
    checkpoints = _Inside("checkpoints")
    segments = _Inside("segments")
    stop_file = _Inside("STOP")
    exit_json = _Inside("exit.json")
    final_model = _Inside("model.keras")
    tensorboard = _Inside("tensorboard")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"RunDirectory({str(self.path)!r})"

    def create(self, spec: Mapping[str, Any]) -> RunDirectory:
        """Makes the folder with `spec` as its `run.json`, and returns itself.

        `run.json` is frozen: where the same run (by `run_id`) is there already, nothing changes. Raises
        `RunDirectoryError` where the folder holds another run.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if not self.run_json.exists():
            write_json(self.run_json, spec)
        elif (found := self.read_spec().get("run_id")) != spec["run_id"]:
            raise RunDirectoryError(
                f"{self.path} holds run {found}, not {spec['run_id']}; take another --runs folder"
            )
        return self

    def read_spec(self) -> dict[str, Any]:
        """The content of `run.json`. Raises `RunDirectoryError` where it is missing or damaged."""
        spec = read_json(self.run_json)
        if spec is None:
            raise RunDirectoryError(f"{self.run_json} is missing or damaged; `hlb run` writes it")
        return spec

    def state(self) -> State:
        """What the files say, in this order: exit record of the newest life, its sign of life, else planned.

        A life that ended without an exit record is `lost`, never a success; without `run.json`: `unknown`. A
        run that is neither alive nor finished is `cancelled` where somebody asked for that.
        """
        state = self._state()
        going_on = state in (State.PLANNED, State.LOST, State.STOPPED)
        return State.CANCELLED if going_on and self.cancel_requested() else state

    def _state(self) -> State:
        newest = lives.newest(self.segments)
        if not newest:
            return State.PLANNED if self.run_json.exists() else State.UNKNOWN
        record = self._exit_of(newest)
        if record is None:
            # A life that ends between the two looks has left its exit record by the second.
            alive = self._is_alive(newest)
            record = None if alive else self._exit_of(newest)
            if record is None:
                return State.RUNNING if alive else State.LOST
        return State(record["state"])

    def read_exit(self) -> dict[str, Any] | None:
        """The exit record of the newest life; None while it runs, or when it left none."""
        return self._exit_of(lives.newest(self.segments))

    def read_heartbeat(self) -> dict[str, Any] | None:
        """The latest heartbeat, of whichever life; None when there is none."""
        return read_json(self.heartbeat_json)

    def read_metrics(self) -> list[dict[str, Any]]:
        """The rows of `metrics.csv`: epoch and step as int, numbers as float, empty cells as None."""
        return metrics.read(self.metrics_csv)

    def read_steps(self) -> list[dict[str, Any]]:
        """The rows of `steps.csv`, which there is where a measurement asks for it (`by_step`)."""
        return metrics.read(self.steps_csv)

    def read_events(self) -> list[dict[str, Any]]:
        """The events in order; lines that are not JSON objects are left out."""
        events = []
        for line in read_lines(self.events_jsonl):
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                events.append(event)
        return events

    def request_stop(self, *, cancel: bool = False) -> None:
        """Asks the run to stop with a checkpoint at the next chance; `cancel`: and not to go on later."""
        if cancel or not self.cancel_requested():
            write_json(self.stop_file, {"time": time.time(), "cancel": cancel})

    def clear_stop(self) -> None:
        """Takes the request back."""
        self.stop_file.unlink(missing_ok=True)

    def stop_requested(self) -> bool:
        """Whether somebody has asked the run to stop."""
        return self.stop_file.exists()

    def cancel_requested(self) -> bool:
        """Whether somebody has cancelled the run."""
        return self.stop_requested() and bool((read_json(self.stop_file) or {}).get("cancel"))

    def life_number(self) -> int:
        """The number of the newest life; 0 when there was none yet."""
        return lives.newest(self.segments)

    def newest_segment(self) -> Path | None:
        """The folder of the newest life (log, provenance); None when there was no life yet."""
        newest = self.life_number()
        return self.segments / str(newest) if newest else None

    def life_record(self) -> dict[str, Any]:
        """What the newest life said when it began; see `life.read_record`."""
        return lives.read_record(self.segments, lives.newest(self.segments))

    def begin_life(self, owner: str = "", *, take_over: bool = False, supersedes: int | None = None) -> Life:
        """Claims the run for this process. `owner` says who it is, for people: "hlb run", a job id.

        `take_over` allows the newest life to be one of this very process; its earlier holder then loses it.
        `supersedes` is the number of a life that the caller knows to be over, whatever its last sign says; a
        life of an earlier task of this very batch job is over, too.
        Raises `RunTakenError` where another life is alive, has just begun, or has left a result
        (completed, diverged).
        """
        self.read_spec()
        newest = lives.newest(self.segments)
        exit_record = None
        if newest:
            record = self.life_record()
            exit_record = self._exit_of(newest)
            mine = take_over and record.items() >= lives.describe_this_process().items()
            over = newest == supersedes or lives.same_job_earlier_task(record)
            if exit_record is None and not mine and not over and self._is_alive(newest):
                raise RunTakenError(
                    f"{self.path}: life {newest} is alive ({record.get('owner') or 'no owner named'}, "
                    f"process {record.get('pid')} on {record.get('host')}); stop it first"
                )
            exit_record = exit_record or self._exit_of(newest)
        if exit_record is not None and State(exit_record["state"]).has_result:
            raise RunTakenError(f"{self.path} is {exit_record['state']}; results are not overwritten")
        now = time.time()
        about = {"life": newest + 1, "time": now, "owner": owner, **lives.describe_this_process()}
        if not lives.claim(self.segments, newest + 1, about):
            raise RunTakenError(f"{self.path}: another process has just begun life {newest + 1}")
        life = Life(self, newest + 1, self.segments / str(newest + 1))
        sweep_up(self.path)
        sweep_up(self.checkpoints)
        life.event("begin", owner=owner, host=about["host"], pid=about["pid"])
        return life

    def record_failure(self, error: str) -> None:
        """Writes `failed` for a life that ended without an exit record, or begins a life that fails at once.

        For who watched the life end. A run that has its result, or is recorded as failed, is left as it is.
        """
        state = self.state()
        if state in (State.RUNNING, State.LOST):
            self._newest_life().finish(State.FAILED, error=error)
        elif not state.final:
            self.begin_life("record of a failure").finish(State.FAILED, error=error)

    def record_event(self, kind: str, **fields: Any) -> None:
        """Appends an event of the newest life, for who watched it from outside."""
        self._newest_life().event(kind, **fields)

    def _newest_life(self) -> Life:
        newest = lives.newest(self.segments)
        return Life(self, newest, self.segments / str(newest), began=self.life_record().get("time"))

    def _exit_of(self, number: int) -> dict[str, Any] | None:
        record = read_json(self.exit_json)
        return record if record is not None and record.get("life") == number else None

    def _is_alive(self, number: int) -> bool:
        record = lives.read_record(self.segments, number)
        if not record:
            return False
        beat = self.read_heartbeat() or {}
        sign = beat["time"] if beat.get("life") == number else record["time"]
        return lives.is_alive(record, float(sign))
