"""Tables as Parquet: what pandas and pyarrow read is what the CSV files say, with types."""

from __future__ import annotations

import builtins
import io
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from made_runs import METRICS, Folder
from pyarrow import parquet

from horovod_lb.analysis import Table, collect
from horovod_lb.analysis.parquet import csv_of_parquet, to_parquet
from horovod_lb.errors import RequestError


def read(table: Table) -> pa.Table:
    return parquet.read_table(io.BytesIO(to_parquet(table)))


def test_types_are_those_of_the_columns_not_of_their_values() -> None:
    names = ("run_id", "seed", "batch_size", "final_val_loss", "learning_rate_peak", "reason", "mine", "flag")
    rows = [
        dict(zip(names, ("01", 0, 64.0, math.nan, 1, None, {"a": 1}, True), strict=True)),
        {"run_id": "b"},
    ]
    found = read(Table(names, rows))
    assert [str(kind) for kind in found.schema.types] == [
        "string", "int64", "int64", "double", "double", "string", "string", "bool",
    ]  # fmt: skip
    first, second = found.to_pylist()
    assert math.isnan(first.pop("final_val_loss"))
    assert list(first.values()) == ["01", 0, 64, 1.0, None, '{"a":1}', True]
    assert [value for name, value in second.items() if name != "run_id"] == [None] * 7


def test_what_does_not_fit_is_text() -> None:
    table = Table(
        ("seed", "batch_size"), [{"seed": "first", "batch_size": 1.5}, {"seed": 2, "batch_size": 2}]
    )
    assert read(table).to_pylist() == [
        {"seed": "first", "batch_size": 1.5},
        {"seed": "2", "batch_size": 2.0},
    ]


def test_every_table_is_there_and_says_the_same(batch_by_warmup: Folder, tmp_path: Path) -> None:
    rows = ["1,10,0.1,0.5,0.7,0.5,0.8,1000,2,3.5", "2,20,0.1,nan,0.8,inf,,1000,2,"]
    point = {"recipe.batch_size": 64, "recipe.warmup.epochs": 0}
    odd = batch_by_warmup.run("00012", point, 3, rows=rows, header=f"{METRICS},noise_scale")
    (odd / "steps.csv").write_text("step,distance\n1,0.25\n2,0.75\n")
    results = collect(batch_by_warmup.path)
    results.write(tmp_path, parquet=True)
    assert {path.stem for path in tmp_path.glob("*.parquet")} == {
        path.stem for path in tmp_path.glob("*.csv")
    }
    for path in tmp_path.glob("*.parquet"):
        assert csv_of_parquet(path.read_bytes()) == path.with_suffix(".csv").read_text()
    runs = pd.read_parquet(tmp_path / "runs.parquet").set_index("run_id")
    assert runs.loc["a1", "final_val_accuracy"] == 0.92
    assert list(runs.loc[["a0", "a1", "a2"], "seed"]) == [0, 1, 2]


def test_a_table_that_is_no_longer_made_is_deleted(batch_by_warmup: Folder, tmp_path: Path) -> None:
    steps = batch_by_warmup.path / "a0" / "steps.csv"
    steps.write_text("step,distance\n1,0.25\n")
    out = tmp_path / "out"
    collect(batch_by_warmup.path).write(out, parquet=True)
    (out / "mine.csv").write_text("kept\n")
    assert {"steps.csv", "steps.parquet"} <= {path.name for path in out.iterdir()}
    steps.unlink()
    collect(batch_by_warmup.path).write(out)
    left = {path.name for path in out.iterdir()}
    assert "mine.csv" in left
    assert not [name for name in left if name.startswith("steps") or name.endswith(".parquet")]


def test_without_pyarrow_nothing_is_written(
    batch_by_warmup: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *arguments: Any, **options: Any) -> Any:
        if name.split(".")[0] == "pyarrow":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(RequestError, match=r"pip install 'horovod_lb\[parquet\]'"):
        collect(batch_by_warmup.path).write(tmp_path / "out", parquet=True)
    assert not (tmp_path / "out").exists()
