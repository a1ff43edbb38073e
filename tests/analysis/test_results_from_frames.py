"""Results from DataFrames and from collected CSV files: the same tables as from the run folders."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pandas as pd
import pytest
from made_runs import METRICS, Folder

from horovod_lb.analysis import Results, collect, results_from_frames, results_from_tables
from horovod_lb.errors import RequestError
from horovod_lb.runs import State


def texts(results: Results) -> dict[str, str]:
    return {name: table.to_csv() for name, table in results.tables.items()}


def accuracies(results: Results) -> list[str]:
    """The lines of accuracy.csv, up to the interval and the diverged runs."""
    columns = [*results.axes, "n", "mean", "std", "ci95_low", "ci95_high", "n_diverged"]
    rows = csv.DictReader(io.StringIO(results.tables["accuracy"].to_csv()))
    return [",".join(row.get(name, "") for name in columns) for row in rows]


@pytest.fixture
def many_kinds(batch_by_warmup: Folder) -> Folder:
    """Beside the grid: a planned run, a lost one, one that is damaged, measurements, steps, a run id of
    digits.
    """
    point = {"recipe.batch_size": 4096, "recipe.warmup.epochs": 0}
    batch_by_warmup.run("planned", point, 0, state=None)
    (batch_by_warmup.run("lost", point, 1, [0.5]) / "exit.json").unlink()
    batch_by_warmup.run("damaged", point, 2, [0.5])
    (batch_by_warmup.path / "damaged" / "run.json").write_text("{")
    rows = ["1,10,0.1,0.5,0.7,0.5,0.8,1000,2,3.5", "2,20,0.1,0.4,0.8,0.4,,1000,2,"]
    odd = batch_by_warmup.run("00012", point, 3, rows=rows, header=f"{METRICS},noise_scale")
    (odd / "steps.csv").write_text("step,distance\n1,0.25\n2,0.75\n")
    return batch_by_warmup


def test_collected_tables_read_back_to_the_same_tables(many_kinds: Folder, tmp_path: Path) -> None:
    results = collect(many_kinds.path)
    results.write(tmp_path / "out")
    back = results_from_tables(tmp_path / "out")
    assert texts(back) == texts(results)
    assert (back.source.name, back.axes) == ("made", results.axes)
    assert [run.state for run in back.records] == [run.state for run in results.records]


def test_frames_of_the_csv_files_give_the_same_tables(many_kinds: Folder, tmp_path: Path) -> None:
    results = collect(many_kinds.path)
    results.write(tmp_path / "out")
    runs, epochs, steps = (
        pd.read_csv(tmp_path / "out" / f"{name}.csv", dtype={"run_id": str})
        for name in ("runs", "epochs", "steps")
    )
    back = texts(results_from_frames(runs, epochs, steps))
    expected = texts(results)
    for name in ("runs", "accuracy", "accuracy_wide", "error_wide", "best", "steps"):
        assert back[name] == expected[name]


def test_runs_alone_are_enough_for_the_accuracy_table(batch_by_warmup: Folder) -> None:
    expected = collect(batch_by_warmup.path)
    found = results_from_frames(
        expected.tables["runs"].to_frame(), baseline={"recipe.warmup.epochs": 0}, name="mine"
    )
    assert found.tables["accuracy"].to_csv() == expected.tables["accuracy"].to_csv()
    # The paired differences of test_seed_tables: 256 has three pairs, 1024 one (0.80 against 0.99).
    differences = list(csv.DictReader(io.StringIO(found.tables["differences"].to_csv())))
    assert [(row["recipe.batch_size"], row["n"]) for row in differences] == [("256", "3"), ("1024", "1")]
    assert float(differences[1]["mean_difference"]) == pytest.approx(-0.19)
    assert found.source.name == "mine"


def test_the_least_that_a_frame_needs() -> None:
    runs = pd.DataFrame({"run_id": ["a", "b", "c", "d"], "batch_size": [64, 64, 256, 256]})
    epochs = pd.DataFrame(
        {
            "run_id": ["a", "b", "c", "d", "d"],
            "epoch": [1, 1, 1, 1, 2],
            "train_loss": [0.5, 0.5, 0.5, 0.7, math.nan],
            "val_accuracy": [0.8, 0.9, 0.7, 0.6, 0.1],
        }
    )
    results = results_from_frames(runs, epochs)
    assert results.axes == ("batch_size",)
    # mean ± t(1)·std/√2, t(1) = tan(0.475·π) = 12.70620474; std = 0.1/√2
    assert accuracies(results) == [
        "64,2,0.85,0.07071067812,0.2146897632,1.485310237,0",
        "256,1,0.7,,,,1",
    ]
    states = [run.state for run in results.records]
    assert states == [State.COMPLETED] * 3 + [State.DIVERGED]


def test_a_loss_that_was_never_recorded_is_no_divergence() -> None:
    runs = pd.DataFrame({"run_id": ["a"], "batch_size": [64]})
    epochs = pd.DataFrame({"run_id": ["a"], "epoch": [1], "train_loss": [math.nan], "val_accuracy": [0.8]})
    (run,) = results_from_frames(runs, epochs).records
    assert (run.state, run.last("val_accuracy")) == (State.COMPLETED, 0.8)


def test_axes_are_the_columns_with_a_dot_else_what_tells_runs_apart() -> None:
    runs = pd.DataFrame(
        {"run_id": ["a", "b", "c"], "batch_size": [64, 64, 128], "optimizer": ["sgd", "lars", "sgd"],
         "seed": [0, 0, 0], "schedule": ["step"] * 3, "mine": [1, 1, 1], "recipe.momentum": [0.9, 0.8, 0.9]}
    )  # fmt: skip
    assert results_from_frames(runs).axes == ("recipe.momentum",)
    assert results_from_frames(runs.drop(columns="recipe.momentum")).axes == ("batch_size", "optimizer")
    assert results_from_frames(runs, axes=["mine"]).points[0].values == (1,)


@pytest.mark.parametrize(
    ("runs", "epochs", "message"),
    [
        ({"batch_size": [1]}, None, "table of runs has no column run_id; it has batch_size"),
        ({"run_id": ["a"], "batch": [1]}, None, "no column batch_size .*; it has run_id, batch$"),
        ({"run_id": ["a", None], "batch_size": [1, 1]}, None, "row 2 of the table of runs has no run_id"),
        ({"run_id": ["a", "a"], "batch_size": [1, 1]}, None, "run_id a stands in two rows"),
        ({"run_id": [], "batch_size": []}, None, "table of runs has no rows"),
        ({"run_id": ["a"], "batch_size": [1], "state": ["done"]}, None, "state 'done' is none of planned,"),
        ({"run_id": ["a"], "batch_size": [1]}, {"run_id": ["a"], "loss": [1]}, "epochs has no column epoch"),
        ({"run_id": ["a"], "batch_size": [1]}, {"epoch": [1]}, "epochs has no column run_id"),
        (
            {"run_id": ["a"], "batch_size": [1]},
            {"run_id": ["a"], "epoch": ["first"]},
            "row 1 of epochs: epoch is 'first', not a whole number",
        ),
        (
            {"run_id": ["a"], "batch_size": [1]},
            {"run_id": ["a", "a"], "epoch": [1, 1]},
            "epochs: run a has epoch 1 twice",
        ),
        (
            {"run_id": ["a"], "batch_size": [1]},
            {"run_id": ["b"], "epoch": [1]},
            "table of epochs has rows of b, which no row of runs is of",
        ),
    ],
)  # fmt: skip
def test_frames_that_lack_what_is_needed(runs: dict, epochs: dict | None, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        results_from_frames(pd.DataFrame(runs), None if epochs is None else pd.DataFrame(epochs))


def test_axes_that_are_not_there() -> None:
    with pytest.raises(RequestError, match=r"no column recipe\.x of the axes; it has run_id, batch_size"):
        results_from_frames(pd.DataFrame({"run_id": ["a"], "batch_size": [1]}), axes=["recipe.x"])


def test_folders_without_tables_and_broken_tables(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"holds no runs.csv; `hlb collect` writes one"):
        results_from_tables(tmp_path)
    (tmp_path / "runs.csv").write_text("run_id,batch_size\na,1,2\n")
    with pytest.raises(RequestError, match=r"runs.csv, line 2: 3 cells under 2 columns"):
        results_from_tables(tmp_path)
    # A spreadsheet's byte order mark and line ends; an old results folder without the other tables.
    (tmp_path / "runs.csv").write_bytes(
        b"\xef\xbb\xbfrun_id,batch_size,final_val_accuracy\r\na,64,0.5\r\n\r\n"
    )
    (tmp_path / "provenance.json").write_text(json.dumps({"study": {"name": "old"}}))
    results = results_from_tables(tmp_path)
    assert results.source.name == "old"
    assert accuracies(results) == ["1,0.5,,,,0"]
