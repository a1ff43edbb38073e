from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from horovod_lb.errors import RunDirectoryError
from horovod_lb.runs import RunDirectory, RunLogger, State


def test_a_foreign_script_leaves_a_run_directory(tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "b256"
    with RunLogger(folder, seed=4, batch_size=256, optimizer="adam", epochs=2) as logger:
        logger.epoch(1, train_loss=0.5, val_accuracy=0.9)
        assert RunDirectory(folder).state() is State.RUNNING
        logger.epoch(2, train_loss=0.25, val_accuracy=0.95, images_per_second=100.0)
    run = RunDirectory(folder)
    assert run.read_spec() == {
        "schema": 1,
        "run_id": "b256",
        "study": "mine",
        "point": {},
        "seed": 4,
        "derived": {"batch_size": 256, "optimizer": "adam", "epochs": 2},
    }
    assert run.state() is State.COMPLETED
    rows = run.read_metrics()
    assert [(row["epoch"], row["train_loss"], row["val_accuracy"]) for row in rows] == [
        (1, 0.5, 0.9),
        (2, 0.25, 0.95),
    ]
    assert all(row["seconds"] >= 0 for row in rows)
    beat = run.read_heartbeat()
    assert beat is not None
    assert (beat["epoch"], beat["epochs"], beat["accuracy"]) == (2, 2, 0.95)


def test_a_script_that_raises_is_failed_with_its_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), RunLogger(tmp_path / "r"):
        _ = 1 / 0
    record = RunDirectory(tmp_path / "r").read_exit()
    assert record is not None
    assert (record["state"], record["error"]) == ("failed", "ZeroDivisionError: division by zero")


def test_an_interrupted_script_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), RunLogger(tmp_path / "r"):
        raise KeyboardInterrupt
    assert RunDirectory(tmp_path / "r").state() is State.STOPPED


def test_a_script_that_just_ends_is_lost(tmp_path: Path) -> None:
    script = (
        "import sys; from horovod_lb.runs import RunLogger; RunLogger(sys.argv[1]).epoch(1, val_accuracy=1)"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "r"], check=True)
    assert RunDirectory(tmp_path / "r").state() is State.LOST


def test_begun_again_it_goes_on_and_replaces_the_epochs_it_repeats(tmp_path: Path) -> None:
    first = RunLogger(tmp_path / "r")
    for epoch in (1, 2, 3):
        first.epoch(epoch, train_loss=float(epoch))
    second = RunLogger(tmp_path / "r")  # a notebook cell run again
    second.epoch(2, train_loss=20.0)
    with pytest.raises(RunDirectoryError, match="life 2 owns the run"):
        first.epoch(4)
    second.finish(test_accuracy=0.5)
    second.finish()
    run = RunDirectory(tmp_path / "r")
    assert [row["train_loss"] for row in run.read_metrics()] == [1.0, 20.0]
    record = run.read_exit()
    assert record is not None
    assert record["test_accuracy"] == 0.5


def test_a_finished_run_is_refused(tmp_path: Path) -> None:
    RunLogger(tmp_path / "r").finish()
    with pytest.raises(RunDirectoryError, match="results are not overwritten"):
        RunLogger(tmp_path / "r")
