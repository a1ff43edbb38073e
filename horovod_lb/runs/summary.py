"""A run in one line: what `hlb status` and the progress of a sweep show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from horovod_lb.runs import metrics
from horovod_lb.runs.directory import RunDirectory
from horovod_lb.runs.log import LOG, last_error_line
from horovod_lb.runs.state import State


@dataclass(frozen=True)
class Summary:
    """Where a run stands. What is not known is None.

    `epoch` counts finished epochs of `epochs`; `accuracy` is the validation accuracy after the last of them,
    a fraction; `seconds_left` an estimate while it runs; `error` the last line of a failure, or why a run
    ended as it did. Of a run that was sent to a batch system: `job` (`123` or `123_4`), `job_state` and
    `reason` in the scheduler's words, `job_seconds_left` of the job's wall time, `nodes` that it runs on.
    """

    run_id: str
    point: Mapping[str, Any]
    seed: int | None
    state: State
    epoch: int | None = None
    epochs: int | None = None
    accuracy: float | None = None
    images_per_second: float | None = None
    seconds_left: float | None = None
    error: str | None = None
    job: str | None = None
    job_state: str | None = None
    reason: str | None = None
    job_seconds_left: float | None = None
    nodes: str | None = None


def summarize(
    run: RunDirectory, spec: Mapping[str, Any] | None = None, state: State | None = None
) -> Summary:
    """The summary of a run, without what a scheduler says.

    `spec` is the content of its `run.json` and `state` where it stands, where the caller knows them already.
    """
    spec = run.read_spec() if spec is None else spec
    state = run.state() if state is None else state
    about = (spec["run_id"], spec["point"], spec["seed"], state)
    if state is State.PLANNED or not run.life_number():
        return Summary(*about)  # no life, no files
    beat = run.read_heartbeat() or {}
    row = metrics.last(run.metrics_csv)
    end = (run.read_exit() or {}) if state is not State.RUNNING else {}
    return Summary(
        *about,
        epoch=row.get("epoch", beat.get("epoch")),
        epochs=beat.get("epochs"),
        accuracy=_first(row.get("val_accuracy"), row.get("train_accuracy"), beat.get("accuracy")),
        images_per_second=end.get("images_per_second") or beat.get("images_per_second"),
        seconds_left=beat.get("seconds_left") if state is State.RUNNING else None,
        error=_error(run, state, end),
    )


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def label(point: Mapping[str, Any], seed: int | None) -> str:
    """A run's place in its study for people: `batch_size=512 warmup.epochs=5 seed=0`."""
    words = [f"{key.removeprefix('recipe.')}={value}" for key, value in point.items()]
    return " ".join(words if seed is None or "seed" in point else [*words, f"seed={seed}"])


def duration(seconds: float | None) -> str:
    """`42 s`, `3:07`, `1:02:33`; empty for None."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _error(run: RunDirectory, state: State, end: Mapping[str, Any]) -> str | None:
    if state is State.COMPLETED:
        return None
    text = end.get("error") or end.get("reason")
    if text:
        return str(text).strip().splitlines()[-1]
    segment = run.newest_segment()
    return last_error_line(segment / LOG) if state is State.LOST and segment else None
