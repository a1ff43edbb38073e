"""Tables as Parquet, with a type a column: what a CSV file cannot say."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.long import LongTable
from horovod_lb.analysis.rows import is_number
from horovod_lb.analysis.table import Table, cell
from horovod_lb.errors import RequestError

if TYPE_CHECKING:
    import pyarrow as pa

TEXT = frozenset(
    ("run_id", "study", "state", "outcome", "reason", "machine", "model", "dataset", "optimizer", "scaling",
     "warmup_kind", "schedule", "git_sha", "code")
)  # fmt: skip
COUNTS = frozenset(
    ("seed", "nodes", "gpus", "batch_size", "groups", "workers", "batch_per_group", "steps", "best_epoch",
     "segments", "epoch", "step", "n", "points", "val_n", "test_n")
)  # fmt: skip


def to_parquet(table: Table) -> bytes:
    """The table as a Parquet file: text, counts as int64, other numbers as double, truth values as bool.

    An empty cell is null, NaN stays NaN. What is neither, also a seed that is text, is text as in the CSV
    file. Raises `RequestError` where pyarrow is not installed.
    """
    pa, parquet = _pyarrow()
    arrays = {name: _array(pa, name, _column(table, name)) for name in table.columns}
    buffer = io.BytesIO()
    parquet.write_table(pa.table(arrays), buffer)
    return buffer.getvalue()


def csv_of_parquet(data: bytes) -> str:
    """What `Table.to_csv` writes for the table in a Parquet file; empty where it is none."""
    pa, parquet = _pyarrow()
    try:
        found = parquet.read_table(pa.BufferReader(data))
    except pa.ArrowInvalid:
        return ""
    return Table(tuple(found.column_names), found.to_pylist()).to_csv()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise RequestError(
            "Parquet needs pyarrow, which is not installed: pip install 'horovod_lb[parquet]'"
        ) from error
    return pyarrow, parquet


def _column(table: Table, name: str) -> Sequence[Any]:
    if isinstance(table, LongTable):
        return table.rows.column(name)
    return [row.get(name) for row in table.rows]


def _array(pa: Any, name: str, values: Sequence[Any]) -> pa.Array:
    found = [value for value in values if value is not None]
    if name not in TEXT:
        if found and all(isinstance(value, bool) for value in found):
            return pa.array(values, pa.bool_())
        if all(map(is_number, found)):
            if name in COUNTS and all(value == value // 1 for value in found):
                return pa.array([None if value is None else int(value) for value in values], pa.int64())
            return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array([None if value is None else cell(value) for value in values], pa.string())
