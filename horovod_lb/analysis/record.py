"""One run as collect sees it: what its folder says, or what the study plans where there is no folder yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from horovod_lb.analysis.outcome import classify, not_finite
from horovod_lb.analysis.rows import Parsed, Rows, is_number
from horovod_lb.analysis.rows import parse as parse_rows
from horovod_lb.analysis.table import cell
from horovod_lb.errors import DataError, RunDirectoryError
from horovod_lb.runs import RunDirectory, State
from horovod_lb.runs.atomic import read_json

Parse: TypeAlias = Callable[[bytes, str], Parsed]

SCHEMA = 1  # of run.json, as this version writes it
_MOST_SENTENCES = 10
_EXIT_TEXTS = ("state", "outcome", "reason", "error")


@dataclass(frozen=True)
class Record:
    """A run: its specification (`run.json`), its state, and what it has written so far.

    `epochs` holds the rows of `metrics.csv`, one an epoch, rising; `steps` those of `steps.csv`; `lives` the
    provenance of each life, oldest first. `said` holds the columns of `runs.csv` of a run that was read from
    such a table, `problems` sentences on what of its files could not be understood,
    `code` the mark of the code that trained it (see `code.marked`).
    """

    run_id: str
    spec: Mapping[str, Any]
    state: State
    reason: str | None = None
    outcome: str | None = None
    exit: Mapping[str, Any] = field(default_factory=dict)
    epochs: Rows = field(default_factory=lambda: Rows({}))
    steps: Rows = field(default_factory=lambda: Rows({}))
    lives: tuple[Mapping[str, Any], ...] = ()
    wall_seconds: float | None = None
    directory: Path | None = None
    said: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    code: str | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "steps"):
            object.__setattr__(self, name, Rows.of(getattr(self, name)))

    @property
    def seed(self) -> Any:
        """The run's seed; None where a script did not say one."""
        seed = self.spec.get("seed")
        return seed if seed is None or isinstance(seed, int | float | str) else cell(seed)

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
        return (value for value in self.epochs.column(column) if value is not None)

    def last(self, column: str) -> Any:
        """The value of an epoch column in the last epoch that has one."""
        return next((value for value in reversed(self.epochs.column(column)) if value is not None), None)

    def best(self, column: str = "val_accuracy") -> tuple[float, int] | None:
        """The highest finite value of a column and the first epoch that reached it."""
        place = self.epochs.best(column)
        if place is None:
            return None
        return float(self.epochs.column(column)[place]), self.epochs.column("epoch")[place]


def dotted(mapping: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key (`recipe.warmup.epochs`) of nested mappings; None where there is none."""
    found: Any = mapping
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def planned(run_id: str, spec: Mapping[str, Any]) -> Record:
    """The record of a run that has no folder yet."""
    return Record(run_id, spec, State.PLANNED)


def read(
    directory: RunDirectory, parse: Parse = parse_rows, planned: Mapping[str, Any] | None = None
) -> Record:
    """The record of a run folder, in whatever state it is; a damaged `run.json` makes it `unknown`, with the
    reason, unless `planned` holds what its study wrote there. `parse` reads the bytes of `metrics.csv` and
    `steps.csv`.
    """
    problems: list[str] = []
    spec: Mapping[str, Any]
    try:
        spec = directory.read_spec()
        _require_mappings(spec)
    except RunDirectoryError as error:
        if planned is None:
            return Record(directory.path.name, {}, State.UNKNOWN, reason=str(error), directory=directory.path)
        spec = planned
        problems.append("run.json is missing or damaged; the study file has the same")
    exit_record = directory.read_exit() or {}
    state, damage = _state(directory, exit_record)
    reason = damage or exit_record.get("reason") or exit_record.get("error")
    epochs = parse(_content(directory.metrics_csv), "epoch")
    steps = parse(_content(directory.steps_csv), "step")
    newest = exit_record["life"] if exit_record else directory.life_number()
    record = Record(
        run_id=str(spec.get("run_id") or directory.path.name),
        spec=spec,
        state=state,
        reason=reason or ("ended without an exit record" if state is State.LOST else None),
        exit=_measured_numbers(exit_record),
        epochs=epochs.rows,
        steps=steps.rows,
        lives=tuple(_lives(directory, newest)),
        wall_seconds=_wall_seconds(directory, exit_record),
        directory=directory.path,
        problems=(
            *problems,
            *_newer(spec),
            *(f"metrics.csv: {text}" for text in epochs.problems),
            *(f"steps.csv: {text}" for text in steps.problems),
        ),
    )
    return judged(record)


def _state(directory: RunDirectory, exit_record: Mapping[str, Any]) -> tuple[State, str | None]:
    """The state, and what kept it from being known."""
    name = "exit.json"
    try:
        if exit_record and (state := State(exit_record["state"])).final:
            return state, None
        name = "life.json or heartbeat.json"
        return directory.state(), None
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        return State.UNKNOWN, f"{name} is damaged: {type(error).__name__} {error}"


def problems(records: Iterable[Record]) -> list[str]:
    """Sentences on what of the runs' files could not be understood, the same once, with some of the runs."""
    found: dict[str, list[str]] = {}
    for record in records:
        for text in record.problems:
            found.setdefault(text, []).append(record.run_id)
        if not record.spec:
            found.setdefault("run.json is missing or damaged: it counts for no point", []).append(
                record.run_id
            )
    sentences = [
        f"{'Run' if len(runs) == 1 else f'{len(runs):,} runs:'} {shortened(runs)}: {text}."
        for text, runs in found.items()
    ]
    more = len(sentences) - _MOST_SENTENCES
    return sentences if more <= 0 else [*sentences[:_MOST_SENTENCES], f"And {more} more of this kind."]


def shortened(names: Sequence[str], most: int = 5) -> str:
    """The first of `names`, and how many there are more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _require_mappings(spec: Mapping[str, Any]) -> None:
    for name in ("point", "derived", "model", "data", "recipe", "resources", "job"):
        if not isinstance(spec.get(name) or {}, Mapping):
            raise RunDirectoryError(f"run.json is damaged: {name} is no mapping")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        raise RunDirectoryError(f"cannot read {path}: {error.strerror}") from error


def _measured_numbers(exit_record: Mapping[str, Any]) -> dict[str, Any]:
    """The exit record without what should be a number and is none."""
    return {
        name: value
        for name, value in exit_record.items()
        if name in _EXIT_TEXTS or value is None or is_number(value)
    }


def _newer(spec: Mapping[str, Any]) -> Iterator[str]:
    schema = spec.get("schema")
    if is_number(schema) and schema > SCHEMA:
        yield f"run.json has schema {schema} of a newer horovod_lb; this one knows {SCHEMA}"


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
        classes, examples = derived.get("classes"), derived.get("val_examples")
        return (
            classes if isinstance(classes, int) else None,
            examples if isinstance(examples, int) else None,
        )
    return info.classes or None, info.val_examples or None


def _lives(directory: RunDirectory, newest: int) -> Iterator[Mapping[str, Any]]:
    for number in range(1, newest + 1):
        yield read_json(directory.segments / str(number) / "provenance.json") or {}


def _wall_seconds(directory: RunDirectory, exit_record: Mapping[str, Any]) -> float | None:
    """Seconds of all lives together: the newest says its own, earlier ones last from their first event to
    their last.
    """
    spans: dict[int, tuple[float, float]] = {}
    for event in directory.read_events():
        life, time = event.get("life"), event.get("time")
        if isinstance(life, int) and is_number(time):
            spans[life] = (min(spans.get(life, (time, time))[0], time), time)
    if is_number(exit_record.get("wall_seconds")):
        spans[exit_record["life"]] = (0.0, float(exit_record["wall_seconds"]))
    return sum(end - begin for begin, end in spans.values()) if spans else None
