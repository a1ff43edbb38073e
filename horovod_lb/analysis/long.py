"""The long tables `epochs.csv` and `steps.csv`: the rows of all runs, one run after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, overload

from horovod_lb.analysis.rows import Rows, csv_cell
from horovod_lb.analysis.table import Table

if TYPE_CHECKING:
    import pandas as pd


class RunRows(Sequence[Mapping[str, Any]]):
    """The rows of runs, given as pairs of id and rows, each with its `run_id`; made only where asked for."""

    def __init__(self, runs: Sequence[tuple[str, Rows]]) -> None:
        self.runs = runs

    def __len__(self) -> int:
        return sum(len(rows) for _, rows in self.runs)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return ({"run_id": run_id, **row} for run_id, rows in self.runs for row in rows)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | list[Mapping[str, Any]]:
        if isinstance(index, slice):
            return list(self)[index]
        place = range(len(self))[index]
        return next(islice(iter(self), place, None))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def column(self, name: str) -> list[Any]:
        """The values of a column."""
        if name == "run_id":
            return [run_id for run_id, rows in self.runs for _ in range(len(rows))]
        return list(chain.from_iterable(rows.column(name) for _, rows in self.runs))


@dataclass(frozen=True)
class LongTable(Table):
    """A table whose rows are `RunRows`; written run by run."""

    rows: RunRows

    def to_csv(self) -> str:
        """As `Table.to_csv`."""
        head = ",".join(map(csv_cell, self.columns))
        parts = [f"{head}\n"]
        for run_id, rows in self.rows.runs:
            first = f"{csv_cell(run_id)},"
            body = rows.body(self.columns[1:])
            if body:
                parts += [first, body[:-1].replace("\n", f"\n{first}"), "\n"]
        return "".join(parts)

    def to_frame(self) -> pd.DataFrame:
        """As `Table.to_frame`."""
        import pandas as pd

        return pd.DataFrame({name: self.rows.column(name) for name in self.columns})
