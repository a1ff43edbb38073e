"""The runs of one study parted in two by a column of `runs.csv`: code version, machine, optimizer ..."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from horovod_lb.analysis.record import Record
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.runs import RECIPE_COLUMNS
from horovod_lb.analysis.table import cell, sort_key
from horovod_lb.analysis.wide import label, value_label
from horovod_lb.errors import RequestError

_SETTINGS = (*RECIPE_COLUMNS, "model", "dataset", "optimizer", "sam")
_SHOWN = 5
_LETTERS = 3


class Parts(NamedTuple):
    """Two parts, what they are called, the axes that part the runs in the same way, and what was left out."""

    results: tuple[Results, Results]
    names: tuple[str, str]
    axes: tuple[str, ...]
    notes: tuple[str, ...]


def part(results: Results, column: str) -> Parts:
    """The two parts of the runs, by a column of `runs.csv` that has two values.

    The smaller number is the first part; of texts, that whose first run ended first. Runs without a value
    are left out; on an axis, having none is a value (no SAM), and the first part. RequestError where there is
    no such column, or not two values in it.
    """
    table = results.tables["runs"]
    if column not in table.columns:
        raise RequestError(_no_column(column, table.columns))
    groups: dict[str, list[Record]] = {}
    values: dict[str, Any] = {}
    for record, row in zip(results.records, table.rows, strict=True):
        if row.get(column) is not None or column in (record.spec.get("point") or {}):
            text = cell(row[column])
            groups.setdefault(text, []).append(record)
            values[text] = row[column]
    if len(groups) != 2:
        found = ", ".join(
            f"{value or 'none'} ({len(groups[value]):,} runs)" for value in sorted(groups)[:_SHOWN]
        )
        choose = f'; choose two with --where "{column} in [...]"' if len(groups) > 2 else ""
        raise RequestError(
            f"--by {column} needs two values, found {len(groups)}{': ' + found if found else ''}{choose}"
        )
    first, second = sorted(
        groups, key=lambda text: (sort_key([values[text]])[0][:2], _ended(groups[text]), text)
    )
    parts = (_of(results, groups[first]), _of(results, groups[second]))
    left = len(results.records) - len(groups[first]) - len(groups[second])
    notes = (f"{left:,} of {len(results.records):,} runs have no {column} and are left out",) if left else ()
    a_setting = column in (*results.axes, *_SETTINGS)
    return Parts(
        parts,
        (_name(column, values[first]), _name(column, values[second])),
        _same_cut(*parts) if a_setting else (),
        notes,
    )


def _of(results: Results, records: Sequence[Record]) -> Results:
    source = replace(results.source, records=tuple(records), notes=())
    return replace(results, source=source, records=tuple(records))


def _ended(records: Sequence[Record]) -> float:
    return min((run.exit["time"] for run in records if run.exit.get("time") is not None), default=math.inf)


def _same_cut(a: Results, b: Results) -> tuple[str, ...]:
    """The axes that have one value in one part and another one in the other."""
    found = []
    for place, axis in enumerate(a.axes):
        ours, theirs = ({sort_key([point.values[place]]) for point in side.points} for side in (a, b))
        if len(ours) == len(theirs) == 1 and ours != theirs:
            found.append(axis)
    return tuple(found)


def _name(column: str, value: Any) -> str:
    """Words speak for themselves, a commit by its first ten digits; letters and numbers need the name of
    their column.
    """
    if isinstance(value, str) and len(value) > _LETTERS:
        return re.sub(r"\b([0-9a-f]{10})[0-9a-f]{30}\b", r"\1", value_label(value))
    return f"{label(column)} {value_label(value)}"


def _no_column(column: str, columns: Sequence[str]) -> str:
    from horovod_lb.study.nearest import nearest

    close = nearest(column, columns)
    return f"--by {column}: runs.csv has no such column{f'; did you mean {close}?' if close else ''}"
