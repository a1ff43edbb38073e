"""What the page says in words: the recipe, what was varied, what went wrong, where the results come from."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from horovod_lb.analysis.figures.lines import name as name_of
from horovod_lb.analysis.figures.lines import values_of
from horovod_lb.analysis.record import Record
from horovod_lb.analysis.report.curves import point_label
from horovod_lb.analysis.report.redact import redact
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.table import cell
from horovod_lb.analysis.wide import label
from horovod_lb.runs import State

# What a reader asks of a study, in this order.
_SUMMARY = (
    "job.name", "model", "data", "resources.workers", "recipe.epochs", "recipe.budget", "recipe.batch_size",
    "recipe.groups", "recipe.remainder", "recipe.reference", "recipe.scaling", "recipe.warmup",
    "recipe.schedule", "recipe.optimizer", "recipe.weight_decay", "recipe.label_smoothing",
    "recipe.clip_global_norm", "recipe.precision", "recipe.communication",
)  # fmt: skip
_TROUBLE = (State.DIVERGED, State.FAILED, State.LOST, State.CANCELLED, State.UNKNOWN)
_MOST_VALUES = 40


class Trouble(NamedTuple):
    """A run that went wrong: its place among the results' records, its point, what it came to, and why."""

    number: int
    run: str
    point: str
    state: str
    reason: str


def recipe(results: Results) -> Iterator[tuple[str, str]]:
    """The settings that all runs have in common."""
    records = [record for record in results.records if record.spec]
    for key in _SUMMARY if records else ():
        value = _common([record.value(key) for record in records])
        if isinstance(value, Mapping):
            value = ", ".join(
                plain(item) if name in ("name", "kind") else f"{label(name)} {plain(item)}"
                for name, item in value.items()
                if name != "root" and item not in (None, [], {})
            )
        if value not in (None, ""):
            yield label(key.removesuffix(".name")), plain(value)


def varied(results: Results) -> Iterator[tuple[str, str]]:
    """Each axis with its values."""
    for axis in results.axes if results.points else ():
        names = [name_of(value) for value in values_of(results, axis)]
        more = [f"... ({len(names):,} values)"] if len(names) > _MOST_VALUES else []
        between = "; " if any(", " in name for name in names) else ", "
        yield label(axis), between.join([*names[:_MOST_VALUES], *more])


def trouble(results: Results) -> list[Trouble]:
    """The runs that diverged, failed, were lost or cancelled, or ended at chance level or unstable."""
    return [
        Trouble(
            number,
            run.run_id,
            point_of(run, results.axes),
            run.outcome if run.outcome in ("chance", "unstable") else run.state.value,
            redact(run.reason or ""),
        )
        for number, run in enumerate(results.records)
        if run.state in _TROUBLE or run.outcome in ("chance", "unstable")
    ]


def point_of(run: Record, axes: Sequence[str]) -> str:
    """The run's point and seed, for people."""
    parts = [point_label({axis: run.value(axis) for axis in axes})] if axes else []
    return ", ".join([*parts, f"seed {run.seed}"] if run.seed is not None else parts)


def plain(value: Any) -> str:
    """A setting for people; a list of words is a command line."""
    if not isinstance(value, list):
        return redact(cell(value))
    if value and all(isinstance(item, str) for item in value):
        return redact(shlex.join(value))
    return f"[{', '.join(map(cell, value))}]"


def some(found: Mapping[str, Any]) -> str:
    """Some of the values that differ, and how many there are."""
    shown = ", ".join(map(plain, found["values"]))
    return (
        shown if found["distinct"] == len(found["values"]) else f"{shown}, ... ({found['distinct']} values)"
    )


def _common(values: Sequence[Any]) -> Any:
    """The value that all have; of mappings the entries that all have; None for nothing in common."""
    first = values[0]
    if all(value == first for value in values):
        return first
    if all(isinstance(value, Mapping) for value in values):
        return {key: item for key, item in first.items() if all(value.get(key) == item for value in values)}
    return None
