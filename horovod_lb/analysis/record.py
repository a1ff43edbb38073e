"""One run as collect sees it: what its folder says, or what the study plans where there is no folder yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from horovod_lb.analysis.outcome import classify, not_finite
from horovod_lb.errors import DataError, RunDirectoryError
from horovod_lb.runs import RunDirectory, State
from horovod_lb.runs.atomic import read_json
from horovod_lb.runs.metrics import COLUMNS as METRICS


@dataclass(frozen=True)
class Record:
    """A run: its specification (`run.json`), its state, and what it has written so far.

    `epochs` holds the rows of `metrics.csv`, one an epoch, rising; `steps` those of `steps.csv`; `lives` the
    provenance of each life, oldest first. `said` holds the columns of `runs.csv` of a run that was read from
    such a table.
    """

    run_id: str
    spec: Mapping[str, Any]
    state: State
    reason: str | None = None
    outcome: str | None = None
    exit: Mapping[str, Any] = field(default_factory=dict)
    epochs: tuple[Mapping[str, Any], ...] = ()
    steps: tuple[Mapping[str, Any], ...] = ()
    lives: tuple[Mapping[str, Any], ...] = ()
    wall_seconds: float | None = None
    directory: Path | None = None
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seed(self) -> Any:
        """The run's seed; None where a script did not say one."""
        return self.spec.get("seed")

    @property
    def study(self) -> str:
        """The study's name."""
        return str(self.spec.get("study") or "")

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where and with what the newest life ran."""
        return self.lives[-1] if self.lives else {}

    def value(self, axis: str) -> Any:
        """The run's value on an axis: of its point, else at this dotted key of its specification, else as
        derived.
        """
        point = self.spec.get("point") or {}
        if axis in point:
            return point[axis]
        found = dotted(self.spec, axis)
        return (self.spec.get("derived") or {}).get(axis) if found is None else found

    def measured(self, column: str) -> Iterator[float]:
        """The values of an epoch column, in order, without empty cells."""
        return (row[column] for row in self.epochs if row.get(column) is not None)

    def last(self, column: str) -> Any:
        """The value of an epoch column in the last epoch that has one."""
        return next((row[column] for row in reversed(self.epochs) if row.get(column) is not None), None)

    def best(self, column: str = "val_accuracy") -> tuple[float, int] | None:
        """The highest finite value of a column and the first epoch that reached it."""
        rows = [row for row in self.epochs if row.get(column) is not None and not not_finite([row[column]])]
        if not rows:
            return None
        row = max(rows, key=lambda row: row[column])
        return float(row[column]), int(row["epoch"])


def dotted(mapping: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key (`recipe.warmup.epochs`) of nested mappings; None where there is none."""
    found: Any = mapping
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def planned(run_id: str, spec: Mapping[str, Any]) -> Record:
    """The record of a run that has no folder yet."""
    return Record(run_id, spec, State.PLANNED)


def read(directory: RunDirectory) -> Record:
    """The record of a run folder, in whatever state it is; a damaged `run.json` makes it `unknown`, with the
    reason.
    """
    try:
        spec = directory.read_spec()
        state = directory.state()
    except (RunDirectoryError, KeyError, ValueError) as error:
        text = str(error) if isinstance(error, RunDirectoryError) else f"exit.json is damaged: {error}"
        return Record(directory.path.name, {}, State.UNKNOWN, reason=text, directory=directory.path)
    exit_record = directory.read_exit() or {}
    reason = exit_record.get("reason") or exit_record.get("error")
    record = Record(
        run_id=str(spec.get("run_id") or directory.path.name),
        spec=spec,
        state=state,
        reason=reason or ("ended without an exit record" if state is State.LOST else None),
        exit=exit_record,
        epochs=_epochs(directory),
        steps=tuple(directory.read_steps()),
        lives=tuple(_lives(directory)),
        wall_seconds=_wall_seconds(directory, exit_record),
        directory=directory.path,
    )
    return judged(record)


def judged(record: Record) -> Record:
    """The record with its outcome; a run that ended with a loss that is not finite has diverged, whatever it
    says.
    """
    if record.state is State.DIVERGED:
        return replace(record, outcome="nan")
    if record.state is not State.COMPLETED:
        return record
    if not_finite([record.last("train_loss"), record.last("val_loss")]):
        reason = record.reason or f"loss not finite in epoch {record.last('epoch')}"
        return replace(record, state=State.DIVERGED, outcome="nan", reason=reason)
    classes, examples = _validation_set(record.spec)
    best = record.best()
    outcome = classify(
        record.last("val_accuracy"), best[0] if best else None, classes=classes, examples=examples
    )
    if outcome == "ok":
        outcome = record.exit.get("outcome") or outcome
    return replace(record, outcome=outcome)


def _validation_set(spec: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Number of classes and of validation examples; None where they are not known."""
    from horovod_lb.data import describe

    derived = spec.get("derived") or {}
    try:
        info = describe(spec.get("data") or {})
    except DataError:
        return derived.get("classes"), derived.get("val_examples")
    return info.classes or None, info.val_examples or None


def _epochs(directory: RunDirectory) -> tuple[Mapping[str, Any], ...]:
    """The rows by epoch, each epoch once, the last row counting; what is not a number in a column of
    numbers is left empty.
    """
    rows: dict[int, dict[str, Any]] = {}
    for row in directory.read_metrics():
        if isinstance(row.get("epoch"), int):
            texts = [name for name in METRICS if isinstance(row.get(name), str)]
            rows[row["epoch"]] = {**row, **dict.fromkeys(texts)} if texts else row
    return tuple(rows[epoch] for epoch in sorted(rows))


def _lives(directory: RunDirectory) -> Iterator[Mapping[str, Any]]:
    newest = directory.newest_segment()
    for number in range(1, int(newest.name) + 1) if newest else ():
        yield read_json(directory.segments / str(number) / "provenance.json") or {}


def _wall_seconds(directory: RunDirectory, exit_record: Mapping[str, Any]) -> float | None:
    """Seconds of all lives together: the newest says its own, earlier ones last from their first event to
    their last.
    """
    spans: dict[int, tuple[float, float]] = {}
    for event in directory.read_events():
        life, time = event.get("life"), event.get("time")
        if isinstance(life, int) and isinstance(time, int | float):
            spans[life] = (min(spans.get(life, (time, time))[0], time), time)
    if exit_record.get("wall_seconds") is not None:
        spans[exit_record["life"]] = (0.0, float(exit_record["wall_seconds"]))
    return sum(end - begin for begin, end in spans.values()) if spans else None
