"""`runs.csv` and `epochs.csv` against run folders written by hand."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from made_runs import METRICS, Folder

from horovod_lb import RunLogger
from horovod_lb.analysis import collect
from horovod_lb.errors import RunDirectoryError
from horovod_lb.runs import RunDirectory

# The list of the design, to the letter, and `sam` beside the optimizer.
COLUMNS = """
run_id, study, seed, state, outcome, reason, machine, nodes, gpus, model, dataset, optimizer, sam,
batch_size, groups, workers, batch_per_group, scaling, warmup_kind, warmup_epochs, warmup_steps,
learning_rate_start, learning_rate_peak, schedule, epochs, steps, final_train_loss,
final_train_accuracy, final_val_loss, final_val_accuracy, final_val_top5, final5_val_accuracy,
best_val_accuracy, best_epoch, final_test_loss, final_test_accuracy, images_per_second,
compute_seconds, allreduce_seconds, scaling_ratio, input_wait, wall_seconds, node_hours, segments,
git_sha, code
"""


def table(path: Path, name: str = "runs") -> list[dict[str, str]]:
    """A table as a stranger reads it from its CSV text."""
    return list(csv.DictReader(io.StringIO(collect(path).tables[name].to_csv())))


def row(path: Path) -> dict[str, str]:
    (only,) = table(path)
    return only


def test_columns_are_the_designs_then_axes_then_measurements(folder: Folder) -> None:
    folder.run(
        "one",
        {"recipe.batch_size": 256, "recipe.scaling": "linear"},
        rows=["1,10,0.1,0.5,0.7,0.5,0.8,1000,2,3.5,0.25"],
        header=f"{METRICS},noise_scale,distance",
    )
    header = [name.strip() for name in COLUMNS.split(",")]
    assert list(row(folder.path)) == [
        *header,
        "recipe.batch_size",
        "recipe.scaling",
        "distance",
        "noise_scale",
    ]
    assert row(folder.path)["noise_scale"] == "3.5"


def test_results_of_a_completed_run(folder: Folder) -> None:
    accuracies = [0.5, 0.91, 0.97, 0.93, 0.97, 0.92, 0.95]
    derived = {
        "batch_size": 256, "groups": 4, "workers": 2, "batch_per_group": 64, "scaling": "linear",
        "warmup_kind": "gradual", "warmup_epochs": 5, "warmup_steps": 36.62109375, "learning_rate_start": 0.1,
        "learning_rate_peak": 3.2, "schedule": "step", "epochs": 7, "steps": 52,
    }  # fmt: skip
    folder.run(
        "one", {}, 3, accuracies,
        losses=[0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3],
        exit={"test_loss": 0.25, "test_accuracy": 0.94, "wall_seconds": 7200.0, "compute_seconds": 90.0,
              "allreduce_seconds": 30.0, "images_per_second": 1234.5, "outcome": "ok"},
        provenance={"host": "node7", "ranks": 12, "ranks_on_host": 6, "gpu": ["GPU:0"],
                    "source": {"commit": "abc123", "dirty": True}},
        derived=derived,
    )  # fmt: skip
    expected = {
        **{name: str(value) for name, value in derived.items()},
        "run_id": "one", "study": "made", "seed": "3", "state": "completed", "outcome": "ok", "reason": "",
        "machine": "node7", "nodes": "2", "gpus": "12", "model": "lenet", "dataset": "mnist",
        "optimizer": "momentum", "sam": "", "final_train_loss": "0.3", "final_train_accuracy": "0.75",
        "final_val_loss": "0.3", "final_val_accuracy": "0.95", "final_val_top5": "",
        "final5_val_accuracy": "0.95",  # the median of 0.97 0.93 0.97 0.92 0.95
        "best_val_accuracy": "0.97", "best_epoch": "3", "final_test_loss": "0.25",
        "final_test_accuracy": "0.94", "images_per_second": "1234.5", "compute_seconds": "90",
        "allreduce_seconds": "30", "scaling_ratio": "3", "input_wait": "", "wall_seconds": "7200",
        "node_hours": "4", "segments": "1", "git_sha": "abc123-dirty", "code": "A*",
    }  # fmt: skip
    assert row(folder.path) == expected


def test_the_radius_of_sam(folder: Folder) -> None:
    folder.run("sharp", recipe={"optimizer": {"kind": "sgd"}, "sam": {"rho": 0.05, "group": "worker"}})
    assert row(folder.path)["sam"] == "0.05"


def test_a_diverged_run_is_a_row_without_final_numbers(folder: Folder) -> None:
    reason = {"reason": "loss is nan at step 17", "outcome": "nan"}
    folder.run("one", {}, 0, [0.4, 0.1], state="diverged", losses=[2.0, "nan"], exit=reason)
    found = row(folder.path)
    assert (found["state"], found["outcome"], found["reason"]) == (
        "diverged",
        "nan",
        "loss is nan at step 17",
    )
    assert found["final_val_accuracy"] == found["final5_val_accuracy"] == found["final_train_loss"] == ""
    assert (found["best_val_accuracy"], found["best_epoch"]) == ("0.4", "1")


@pytest.mark.parametrize("loss", ["nan", "inf", "-inf"])
def test_completed_with_a_loss_that_is_not_finite_is_diverged(folder: Folder, loss: str) -> None:
    folder.run("one", {}, 0, [0.4, 0.1, 0.1], losses=[2.0, 3.0, loss])
    found = row(folder.path)
    assert (found["state"], found["outcome"]) == ("diverged", "nan")
    assert found["reason"] == "loss not finite in epoch 3"


def test_a_loss_that_was_infinite_once_and_recovered_is_no_divergence(folder: Folder) -> None:
    folder.run("one", {}, 0, [0.4, 0.5, 0.96], losses=[2.0, "inf", 0.1])
    assert row(folder.path)["state"] == "completed"


def test_outcomes_follow_from_the_validation_set(folder: Folder) -> None:
    # mnist with 5,000 held out: chance ends near 0.12 + 3.1·√(0.12·0.88/5000) = 0.134
    folder.run("chance", {"recipe.scaling": "a"}, 0, [0.3, 0.13])
    folder.run("fine", {"recipe.scaling": "b"}, 0, [0.3, 0.30])
    folder.run("worse", {"recipe.scaling": "c"}, 0, [0.9, 0.7])
    assert {found["run_id"]: found["outcome"] for found in table(folder.path)} == {
        "chance": "chance",
        "fine": "ok",
        "worse": "unstable",
    }


@pytest.mark.parametrize("state", ["failed", "stopped", "cancelled"])
def test_unfinished_runs_keep_their_best_and_say_why(folder: Folder, state: str) -> None:
    folder.run("one", {}, 0, [0.4, 0.6], state=state, exit={"error": "OSError: disk full"})
    found = row(folder.path)
    assert (found["state"], found["outcome"], found["reason"]) == (state, "", "OSError: disk full")
    assert (found["final_val_accuracy"], found["best_val_accuracy"]) == ("", "0.6")


def test_planned_lost_running_and_damaged(folder: Folder) -> None:
    folder.run("planned", {}, 0, state=None)
    folder.run("damaged", {}, 1, [0.5])
    (folder.path / "damaged" / "run.json").write_text('{"run_id": "dam')
    (folder.run("lost", {}, 2, [0.5]) / "exit.json").unlink()
    folder.run("running", {}, 3, state=None)
    RunDirectory(folder.path / "running").begin_life("a test")
    found = {one["run_id"]: one for one in table(folder.path)}
    assert {run_id: one["state"] for run_id, one in found.items()} == {
        "planned": "planned",
        "damaged": "unknown",
        "lost": "lost",
        "running": "running",
    }
    assert found["lost"]["reason"] == "ended without an exit record"
    assert "run.json is missing or damaged" in found["damaged"]["reason"]


def test_wall_time_and_provenance_of_all_lives(folder: Folder) -> None:
    path = folder.run("one", {}, 0, [0.5, 0.9], exit={"life": 2, "wall_seconds": 100.0})
    (path / "segments" / "2").mkdir()
    newest = {"host": "node9", "ranks": 4, "ranks_on_host": 4, "source": {"commit": "f00", "dirty": False}}
    (path / "segments" / "2" / "provenance.json").write_text(json.dumps(newest))
    events = [(1, 1000.0), (1, 1050.0), (2, 2000.0), (2, 2101.5)]
    lines = [json.dumps({"time": time, "life": life, "kind": "epoch"}) for life, time in events]
    (path / "events.jsonl").write_text("\n".join(lines) + "\n")
    found = row(folder.path)
    assert (found["segments"], found["wall_seconds"], found["machine"]) == ("2", "150", "node9")
    assert float(found["node_hours"]) == pytest.approx(150 / 3600)
    assert (found["git_sha"], found["gpus"]) == ("f00", "0")


def test_epochs_keep_every_row_and_say_nan(folder: Folder) -> None:
    folder.run("a", {}, 0, [0.25, 0.5], losses=[0.123456789012, 1e-5])
    folder.run("b", {}, 1, [0.1], state="diverged", losses=["nan"])
    text = collect(folder.path).tables["epochs"].to_csv()
    assert text.splitlines() == [
        f"run_id,{METRICS}",
        "a,1,10,0.1,0.123456789,0.75,0.123456789,0.25,1000,2",
        "a,2,20,0.1,1e-05,0.75,1e-05,0.5,1000,2",
        "b,1,10,0.1,nan,0.75,nan,0.1,1000,2",
    ]


def test_a_half_written_last_line_is_left_out(folder: Folder) -> None:
    path = folder.run("a", {}, 0, [0.25, 0.5], state=None)
    with (path / "metrics.csv").open("a") as file:
        file.write("3,30,0.1,0.4")
    assert [one["epoch"] for one in table(folder.path, "epochs")] == ["1", "2"]


def test_text_in_a_column_of_numbers_is_left_out(folder: Folder) -> None:
    rows = ["1,10,0.1,0.5,0.7,0.5,0.8,1000,2", "2,20,0.1,broken,0.7,0.5,n/a,fast,2", "note,,,,,,,,"]
    folder.run("a", {}, 0, rows=rows)
    found = row(folder.path)
    assert (found["final_val_accuracy"], found["images_per_second"]) == ("0.8", "1000")
    assert [one["train_loss"] for one in table(folder.path, "epochs")] == ["0.5", ""]


@pytest.mark.parametrize("record", [{"life": 1}, {"life": 1, "state": "exploded"}])
def test_a_damaged_exit_record_is_said(folder: Folder, record: dict[str, Any]) -> None:
    path = folder.run("a", {}, 0, [0.5])
    (path / "exit.json").write_text(json.dumps(record))
    found = row(folder.path)
    assert found["state"] == "unknown"
    assert found["reason"].startswith("exit.json is damaged")


def test_rows_are_ordered_by_point_with_numbers_by_size_then_seed(folder: Folder) -> None:
    for batch in (1024, 64, 256):
        for seed in (10, 2):
            folder.run(f"x{batch}-{seed}", {"recipe.batch_size": batch}, seed, [0.5])
    assert [one["run_id"] for one in table(folder.path)] == [
        "x64-2", "x64-10", "x256-2", "x256-10", "x1024-2", "x1024-10",
    ]  # fmt: skip


def test_folders_of_run_logger(tmp_path: Path) -> None:
    for batch in (64, 256):
        for seed in (0, 1):
            about: dict[str, Any] = {"batch_size": batch, "optimizer": "adam", "epochs": 2}
            with RunLogger(tmp_path / f"{batch}-{seed}", study="mine", seed=seed, **about) as logger:
                logger.epoch(1, val_accuracy=0.5)
                logger.epoch(2, val_accuracy=0.9 + 0.01 * seed, train_loss=0.2, extra=7)
    results = collect(tmp_path)
    assert (results.source.name, results.axes) == ("mine", ("batch_size",))
    first = table(tmp_path)[0]
    assert (first["optimizer"], first["batch_size"], first["epochs"]) == ("adam", "64", "2")
    assert (first["final_val_accuracy"], first["extra"], first["groups"]) == ("0.9", "7", "")
    means = table(tmp_path, "accuracy")
    assert [(one["batch_size"], one["n"], one["mean"]) for one in means] == [
        ("64", "2", "0.905"),
        ("256", "2", "0.905"),
    ]


def test_a_script_that_ends_with_nan_has_diverged(tmp_path: Path) -> None:
    with RunLogger(tmp_path / "one", batch_size=64) as logger:
        logger.epoch(1, train_loss=math.nan, val_accuracy=0.1)
    assert row(tmp_path)["state"] == "diverged"


def test_values_that_say_nothing_new_are_no_axes(tmp_path: Path) -> None:
    for batch in (64, 256):
        RunLogger(
            tmp_path / str(batch), seed=0, model="m", learning_rate_peak=batch / 640, batch_size=batch
        ).finish()
    assert collect(tmp_path).axes == ("batch_size",)


def test_two_collects_write_the_same_bytes(batch_by_warmup: Folder, tmp_path: Path) -> None:
    for out in ("one", "two"):
        collect(batch_by_warmup.path).write(tmp_path / out)
    names = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(names) >= 14
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    assert not any(name.name.endswith(".tmp") for name in names)


def test_a_table_that_cannot_be_written_is_named(batch_by_warmup: Folder, tmp_path: Path) -> None:
    (tmp_path / "out" / "accuracy.csv" / "in the way").mkdir(parents=True)
    with pytest.raises(RunDirectoryError, match=r"cannot write .*accuracy\.csv"):
        collect(batch_by_warmup.path).write(tmp_path / "out")
    assert not list((tmp_path / "out").glob(".*.tmp"))


def test_accuracies_in_percent_are_pointed_out(folder: Folder) -> None:
    folder.run("one", {}, 0, [50.0, 97.5])
    assert any("above 1" in note for note in collect(folder.path).notes())


def test_steps_of_runs_that_kept_them(folder: Folder) -> None:
    folder.run("plain", accuracies=[0.5])
    assert "steps" not in collect(folder.path).tables
    (folder.run("kept", accuracies=[0.5]) / "steps.csv").write_text(
        "step,trust_ratio[dense/kernel],distance\n1,,0.25\n2,0.5,0.75\n3,"
    )
    assert table(folder.path, "steps") == [
        {"run_id": "kept", "step": "1", "distance": "0.25", "trust_ratio[dense/kernel]": ""},
        {"run_id": "kept", "step": "2", "distance": "0.75", "trust_ratio[dense/kernel]": "0.5"},
    ]


def test_a_set_in_idx_files_is_called_by_its_own_name(folder: Folder) -> None:
    folder.run("fashion", accuracies=[0.5], data={"name": "idx", "set": "fashion-mnist"})
    assert row(folder.path)["dataset"] == "fashion-mnist"
