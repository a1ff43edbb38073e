"""The rows of `metrics.csv` and `steps.csv`, held by column: read once, a mapping a row only where one is
asked for.
"""

from __future__ import annotations

import csv
import io
import json
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard, overload

from horovod_lb.analysis.table import cell
from horovod_lb.runs.metrics import COLUMNS as METRICS

_COUNTS = ("epoch", "step")
_FEW = 5
_WHOLE = 2.0**53


class Rows(Sequence[Mapping[str, Any]]):
    """Rows by column; a value is None where the cell was empty.

    A column is an `array` of floats, or a list where there are other values in it.
    """

    __slots__ = ("_best", "_bodies", "_rows", "columns")

    def __init__(self, columns: Mapping[str, Sequence[Any]]) -> None:
        self.columns = columns
        self._rows: tuple[dict[str, Any], ...] | None = None
        self._bodies: dict[tuple[str, ...], str] = {}
        self._best: dict[str, int | None] = {}

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Rows:
        """The same rows by column."""
        if isinstance(rows, Rows):
            return rows
        held = list(rows)
        names = dict.fromkeys(name for row in held for name in row)
        return cls({name: [row.get(name) for row in held] for name in names})

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Mapping[str, Any], ...]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | tuple[Mapping[str, Any], ...]:
        return self._all()[index]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Rows({list(self)!r})"

    def column(self, name: str) -> Sequence[Any]:
        """The values of a column, None for empty cells; all None where there is no such column."""
        found = self.columns.get(name)
        return [None] * len(self) if found is None else found

    def best(self, name: str) -> int | None:
        """Where the highest finite value of a column stands first; None where there is none."""
        if name not in self._best:
            values = self.column(name)
            numbers = (
                filter(math.isfinite, values) if isinstance(values, array) else filter(is_finite, values)
            )
            highest = max(numbers, default=None)
            self._best[name] = None if highest is None else values.index(highest)
        return self._best[name]

    def _all(self) -> tuple[dict[str, Any], ...]:
        if self._rows is None:
            names = tuple(self.columns)
            self._rows = tuple(
                dict(zip(names, row, strict=True)) for row in zip(*self.columns.values(), strict=True)
            )
        return self._rows

    def body(self, columns: tuple[str, ...]) -> str:
        """The rows as lines of CSV with these columns, as `Table.to_csv` writes them."""
        if columns not in self._bodies:
            cells = [_cells(self.column(name)) for name in columns]
            self._bodies[columns] = "".join(f"{','.join(row)}\n" for row in zip(*cells, strict=True))
        return self._bodies[columns]

    def remember(self, columns: tuple[str, ...], body: str) -> None:
        """`body` is what `body(columns)` was for these very rows."""
        self._bodies[columns] = body


class Parsed(NamedTuple):
    """Rows, and sentences on what of the file is not in them."""

    rows: Rows
    problems: tuple[str, ...]


def parse(data: bytes, key: str = "epoch") -> Parsed:
    """The rows of a file by `key` (`epoch` or `step`), rising, each once, the last row of a key counting.

    A last line without its end is being written, and left out. Lines that have not as many cells as the
    header are left out, and so is what is not a number in a column of numbers; the columns are kept that this
    version does not know.
    """
    text = data[: data.rfind(b"\n") + 1].decode("utf-8-sig", errors="replace")
    lines = text.replace("\r\n", "\n").split("\n")
    header = _cut(lines[0])
    numbers = [number for number, line in enumerate(lines[1:], 2) if line.strip()]
    rows = [_cut(lines[number - 1]) for number in numbers]
    problems = []
    short = [number for number, row in zip(numbers, rows, strict=True) if len(row) != len(header)]
    if short:
        problems.append(f"{_lines(short)} no row of the table ({len(header)} cells)")
        rows = [row for row in rows if len(row) == len(header)]
    if not rows:
        return Parsed(Rows({}), tuple(problems))
    if key not in header:
        return Parsed(Rows({}), (*problems, f"there is no column {key}, so its rows are left out"))
    cells = dict(zip(header, zip(*rows, strict=True), strict=True))
    cells.pop("", None)
    columns: dict[str, Sequence[Any]] = {}
    for name, found in cells.items():
        columns[name], odd = _numbers(name, found)
        if odd and name in (METRICS if key == "epoch" else ("step",)):
            columns[name] = [None if isinstance(value, str) else value for value in columns[name]]
            shown = ", ".join(repr(value[:30]) for value in dict.fromkeys(odd[:_FEW]))
            problems.append(f"{shown} in {name} is no number and is left empty")
    keyed, left = _by_key(columns, key)
    if left:
        problems.append(f"{_count(left, 'row')} without a number of the {key} {_is(left)} left out")
    return Parsed(Rows(keyed), tuple(problems))


def _cut(line: str) -> list[str]:
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line]))
    except csv.Error:
        return [line]


def _numbers(name: str, cells: Sequence[str]) -> tuple[Sequence[Any], list[str]]:
    """The values of cells, and those that are no numbers."""
    whole = name in _COUNTS
    try:
        return list(map(int, cells)) if whole else array("d", map(float, cells)), []
    except (ValueError, OverflowError):
        values = [_number(value, whole=whole) for value in cells]
        return values, [value for value in values if isinstance(value, str)]


def _number(text: str, *, whole: bool) -> Any:
    if text.strip() == "":
        return None
    try:
        value = float(text)
    except ValueError:
        return text
    if not whole:
        return value
    return int(value) if abs(value) <= _WHOLE and value == int(value) else text


def _by_key(columns: Mapping[str, Sequence[Any]], key: str) -> tuple[Mapping[str, Sequence[Any]], int]:
    """The columns with rising keys, and how many rows have none."""
    keys = columns[key]
    if all(value is not None for value in keys) and all(map(int.__lt__, keys, keys[1:])):
        return columns, 0
    places = {value: place for place, value in enumerate(keys) if value is not None}
    order = [places[value] for value in sorted(places)]
    kept = {name: [values[place] for place in order] for name, values in columns.items()}
    return kept, sum(value is None for value in keys)


def _cells(values: Sequence[Any]) -> list[str]:
    if isinstance(values, array):
        return [f"{value + 0.0:.10g}" for value in values]
    return [csv_cell(value) for value in values]


def csv_cell(value: Any) -> str:
    """A cell of `Table.to_csv`, quoted where it needs to be."""
    text = cell(value)
    if not isinstance(value, str | list | dict):
        return text
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow([text, ""])  # alone, an empty cell would be quoted
    return buffer.getvalue()[:-1]


def dump(rows: Rows) -> tuple[list[tuple[str, str]], bytes]:
    """The rows as names with kinds, and bytes: floats as they are (`d`), other columns as JSON (`j`)."""
    parts, about = [], []
    for name, values in rows.columns.items():
        part = values.tobytes() if isinstance(values, array) else json.dumps(list(values)).encode()
        about.append((name, f"{'d' if isinstance(values, array) else 'j'}{len(part)}"))
        parts.append(part)
    return about, b"".join(parts)


def restore(about: Sequence[Sequence[str]], data: memoryview) -> Rows:
    """What `dump` was given."""
    columns: dict[str, Sequence[Any]] = {}
    start = 0
    for name, kind in about:
        part = data[start : start + int(kind[1:])]
        start += len(part)
        if kind[0] == "d":
            columns[name] = floats = array("d")
            floats.frombytes(part)
        else:
            columns[name] = json.loads(bytes(part))
    return Rows(columns)


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether a value is a number, finite or not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: Any) -> TypeGuard[int | float]:
    """Whether a value is a finite number."""
    return is_number(value) and math.isfinite(value)


def _lines(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:_FEW])) + (", ..." if len(numbers) > _FEW else "")
    return f"line {shown} is" if len(numbers) == 1 else f"{len(numbers)} lines ({shown}) are"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"
