"""The numbers behind the interactive curves: every epoch column of every run, packed by column."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from horovod_lb.analysis.figures.lines import name as name_of
from horovod_lb.analysis.record import Record
from horovod_lb.analysis.report import pack
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.runs import measurements
from horovod_lb.analysis.table import sort_key
from horovod_lb.analysis.wide import label

_LABELS = {
    "val_accuracy": "validation accuracy (%)",
    "train_accuracy": "training accuracy (%)",
    "val_top5": "validation top-5 accuracy (%)",
    "val_loss": "validation loss",
    "train_loss": "training loss",
    "learning_rate": "learning rate",
    "images_per_second": "images/s",
    "seconds": "time of the epoch (s)",
}
_FRACTIONS = ("val_accuracy", "train_accuracy", "val_top5")
_LOSSES = ("train_loss", "val_loss")


def curves(results: Results) -> dict[str, Any]:
    """What the page needs to draw curves.

    `columns` is what can be chosen (`name` as in `epochs.csv`, `label`, `percent` for fractions; `of` names
    the column that an error is 1 minus of), `data` the packed columns, `points` the points' labels and runs
    (indices), `finite` how many epochs a run had before a loss was not finite, for those where that is not
    all. Values have five significant digits.
    """
    records = results.records
    measured = measurements(records)
    names = [*_LABELS, *(name for name in measured if name not in _LABELS)]
    packed = {name: _packed(records, name, pack.floats) for name in names}
    data = {name: found for name, found in packed.items() if found}
    for name in ("epoch", "step"):
        found = _packed(records, name, pack.integers)
        if found:
            data[name] = found
    telling = telling_axes(results)
    index = {id(record): number for number, record in enumerate(records)}
    columns: list[dict[str, Any]] = []
    for name in names:
        if name in data:
            columns.append({"name": name, "label": _LABELS.get(name, name), "percent": name in _FRACTIONS})
        if name == "val_accuracy" and name in data:
            columns.append({"name": "val_error", "label": "validation error (%)", "of": name})
    return {
        "columns": columns,
        "data": data,
        "points": [
            {
                "label": point_label(
                    {axis: value for axis, value in point.named(results.axes).items() if axis in telling}
                ),
                "runs": [index[id(run)] for run in point.runs],
            }
            for point in results.points
        ],
        "finite": {
            number: rows
            for number, record in enumerate(records)
            if (rows := finite_rows(record)) < len(record.epochs)
        },
    }


def telling_axes(results: Results) -> list[str]:
    """The axes on which points differ."""
    values = {
        axis: {sort_key([point.named(results.axes)[axis]]) for point in results.points}
        for axis in results.axes
    }
    return [axis for axis, found in values.items() if len(found) > 1]


def point_label(values: Mapping[str, Any]) -> str:
    """A point for people: `batch size = 256, warmup epochs = 5`."""
    return ", ".join(f"{label(axis)} = {name_of(value)}" for axis, value in values.items())


def finite_rows(record: Record) -> int:
    """How many epochs the run had with finite losses, before the first that was not."""
    for number, row in enumerate(record.epochs):
        if any(row.get(name) is not None and not math.isfinite(row[name]) for name in _LOSSES):
            return number
    return len(record.epochs)


def _packed(
    records: Sequence[Record], name: str, to_text: Callable[[list[Any]], str]
) -> dict[str, Any] | None:
    """A column of all runs: `series` that differ, one after the other, their `lengths`, and `which` of them a
    run has (-1: none).

    Runs of a point share their learning rates, and most runs their epochs and steps.
    """
    allowed = {int} if to_text is pack.integers else {int, float}
    place: dict[bytes, int] = {}
    which: list[int] = []
    values: list[Any] = []
    lengths: list[int] = []
    for record in records:
        series = [row.get(name) for row in record.epochs]
        kinds = set(map(type, series)) - {type(None)}
        if not kinds or not kinds <= allowed or (allowed == {int} and None in series):
            which.append(-1)
            continue
        key = array("d", [math.nan if value is None else value for value in series]).tobytes()
        if key not in place:
            place[key] = len(lengths)
            lengths.append(len(series))
            values += series
        which.append(place[key])
    return {"lengths": lengths, "which": which, "values": to_text(values)} if lengths else None
