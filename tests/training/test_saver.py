"""Saving while training goes on: what gets into the file, whose file it is, and disks that fail."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import horovod_lb as hlb
from horovod_lb.data import Arrays, DataSet
from horovod_lb.errors import DiskError, RecipeError, RunDirectoryError
from horovod_lb.runs import Life, RunDirectory, State
from horovod_lb.study.model import Recipe
from horovod_lb.training import checkpoint
from horovod_lb.training.checkpoint import BEST, Position
from horovod_lb.training.record import Record
from horovod_lb.training.saver import Saver
from horovod_lb.training.streams import host_state, set_host_state
from horovod_lb.training.worker import execute

TIMING = ("images_per_second", "seconds")
RECIPE = {"epochs": 4, "batch_size": 20, "groups": 1, "reference": {"learning_rate": 0.5}}


@pytest.fixture(scope="module", autouse=True)
def alone() -> None:
    hlb.init()


def folder(path: Path, **options: Any) -> RunDirectory:
    """A run of four epochs of five steps."""
    spec = {
        "schema": 1,
        "run_id": "run",
        "study": "saving",
        "point": {},
        "job": {"path": "job.py", "sha256": ""},
        "model": {"name": "mlp"},
        "data": {"name": "custom", "examples": 100, "val_examples": 40, "classes": 4, "scale": 1.0},
        "resources": {"workers": 1},
        "recipe": Recipe.model_validate(RECIPE).model_dump(),
        "measure": [],
        "checkpoint": {"every_epochs": 1, "every_minutes": None, "keep": 2, **options},
        "seed": 3,
        "derived": {},
    }
    return RunDirectory(path).create(spec)


class At(keras.callbacks.Callback):
    """Calls `action` before step `step`."""

    def __init__(self, step: int, action: Callable[[], None]) -> None:
        super().__init__()
        self.step, self.action = step, action

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch == self.step:
            self.action()


def train(
    run: RunDirectory, *callbacks: Any, width: int = 8, optimizer: Any = None, before: Any = None
) -> str:
    """Four classes of points in 6 dimensions; a state of some 100 kB with `width` 1000."""
    stream = np.random.default_rng(0)
    y = stream.integers(0, 4, 140)
    x = (stream.normal(size=(140, 6)) + y[:, None]).astype("float32")

    def main(run: Any) -> None:
        if before:
            before(run)
        layers = [keras.layers.Dense(width, activation="relu"), keras.layers.Dense(4)]
        model = keras.Sequential([keras.Input((6,)), *layers])
        data = DataSet(run.info, Arrays(x[:100], y[:100]), Arrays(x[100:], y[100:]), None)
        run.fit(model, optimizer, data, callbacks=list(callbacks))

    return execute(run.path, main)


def rows(run: RunDirectory) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in TIMING} for row in run.read_metrics()]


def final(run: RunDirectory) -> list[bytes]:
    return [value.tobytes() for value in checkpoint.read(run.checkpoints / "step-000000020.npz").values]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    run = folder(tmp_path_factory.mktemp("whole"))
    assert train(run) == "completed"
    return run


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    run = folder(tmp_path_factory.mktemp("wide"))
    assert train(run, width=1000) == "completed"
    return run


class Gate:
    """A life whose fence waits, so that a file is all on the disk and has no name yet."""

    def __init__(self, life: Life) -> None:
        self.reached, self.open, self._fence = threading.Event(), threading.Event(), life.fence
        self._thread = threading.current_thread()
        life.fence = self  # type: ignore[method-assign]

    def __call__(self) -> None:
        if threading.current_thread() is not self._thread:
            self.reached.set()
            assert self.open.wait(30)
        self._fence()


def gated(path: Path) -> tuple[RunDirectory, Gate, Saver, keras.Variable]:
    run = folder(path)
    life = run.begin_life()
    gate, variable = Gate(life), keras.Variable(np.arange(5.0))
    return run, gate, Saver(life, Record(life, writes=True), [variable], {}), variable


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path: Path) -> None:
    run, gate, saver, variable = gated(tmp_path)
    assert saver.restore() == Position(0, 0)
    saver.save(Position(5, 0))
    assert gate.reached.wait(30)
    assert saver.busy
    variable.assign(np.zeros(5))
    assert list(run.checkpoints.glob("step-*")) == []
    gate.open.set()
    saver.settle()
    assert not saver.busy
    (found,) = checkpoint.read(run.checkpoints / "step-000000005.npz").values
    np.testing.assert_array_equal(found, np.arange(5.0))


def test_a_file_of_an_earlier_life_does_not_land(tmp_path: Path) -> None:
    run, gate, saver, _ = gated(tmp_path)
    saver.save(Position(5, 0))
    assert gate.reached.wait(30)
    run.begin_life(take_over=True)
    gate.open.set()
    with pytest.raises(RunDirectoryError, match="life 2 owns the run"):
        saver.settle()
    assert list(run.checkpoints.iterdir()) == []


def written(run: RunDirectory, step: int) -> None:
    """Waits for the checkpoint of a step that is over."""
    end = time.monotonic() + 30
    while not (run.checkpoints / f"step-{step:09d}.npz").exists() and time.monotonic() < end:
        time.sleep(0.01)


def test_a_run_is_stopped_when_its_last_checkpoint_is_on_the_disk(tmp_path: Path) -> None:
    run, seen = folder(tmp_path), []

    class Slow(keras.callbacks.Callback):
        """From step 7 on, a file gets its name only half a second later."""

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if batch == 7:
                written(run, 5)
                lives[0].open.clear()
                run.request_stop()
                threading.Timer(0.5, self.look).start()

        def look(self) -> None:
            seen.append(([path.name for path in run.checkpoints.glob("step-*")], run.read_exit()))
            lives[0].open.set()

    lives: list[Gate] = []

    def begin(run: Any) -> None:
        lives.append(Gate(run.life))
        lives[0].open.set()

    assert train(run, Slow(), before=begin) == "stopped"
    assert seen == [(["step-000000005.npz"], None)]
    assert len(list(run.checkpoints.glob("step-*"))) == 2


def test_what_a_killed_writer_left_is_swept_up(tmp_path: Path) -> None:
    run = folder(tmp_path)
    run.checkpoints.mkdir()
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = run.checkpoints / f".step-000000005.npz.1.{gone.pid}.{os.uname().nodename}.tmp"
    left.write_bytes(b"half")
    run.begin_life()
    assert not left.exists()


def test_the_best_epoch_is_kept_and_named(tmp_path: Path, whole: RunDirectory) -> None:
    """Saved at the end of its epoch though only every third is; the first of equals."""
    run = folder(tmp_path, every_epochs=3, keep=1)
    assert train(run) == "completed"
    accuracies = [row["val_accuracy"] for row in run.read_metrics()]
    epoch = 1 + accuracies.index(max(accuracies))
    found = checkpoint.read(run.checkpoints / BEST)
    assert found.meta["best"] == {"epoch": epoch, "step": 5 * epoch, "val_accuracy": max(accuracies)}
    assert found.position == Position(5 * epoch, epoch, over=epoch == 4)
    assert {path.name for path in run.checkpoints.iterdir()} == {BEST, "step-000000020.npz"}
    other = folder(tmp_path / "other", keep_best=False, keep=1)
    assert train(other) == "completed"
    assert [path.name for path in other.checkpoints.iterdir()] == ["step-000000020.npz"]
    assert final(other) == final(run) == final(whole)


def test_streams_of_python_and_numpy_go_on(tmp_path: Path) -> None:
    before = host_state()
    expected = random.random(), random.gauss(0, 1), np.random.normal(), np.random.randint(1000)
    set_host_state(before)
    assert (random.random(), random.gauss(0, 1), np.random.normal(), np.random.randint(1000)) == expected

    drawn: list[tuple[int, float, float]] = []

    class Draw(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            drawn.append((batch, random.random(), np.random.random()))

    assert train(folder(tmp_path / "once"), Draw()) == "completed"
    once = list(drawn)
    drawn.clear()
    run = folder(tmp_path / "twice")
    assert train(run, Draw(), At(7, run.request_stop)) == "stopped"
    assert train(run, Draw()) == "completed"
    assert drawn == once


def test_a_training_that_a_callback_ended_does_not_go_on(tmp_path: Path) -> None:
    """Dead between its last checkpoint and its exit record."""

    class Enough(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = epoch == 1

        def on_train_end(self, logs: Any = None) -> None:
            raise KeyError("made to fail")

    run = folder(tmp_path)
    with pytest.raises(KeyError):
        train(run, Enough())
    assert run.state() is State.FAILED
    begun: list[int] = []
    note = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda b, logs: begun.append(b))
    assert train(run, note) == "completed"
    assert begun == []
    assert [row["epoch"] for row in run.read_metrics()] == [1, 2]


def test_steps_joined_by_the_optimizer_are_refused(tmp_path: Path) -> None:
    accumulating = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    with pytest.raises(RecipeError, match=r"joins 2 steps .*recipe\.groups"):
        train(folder(tmp_path), optimizer=accumulating)


def test_the_table_is_made_whole_from_the_checkpoint(tmp_path: Path, whole: RunDirectory) -> None:
    run = folder(tmp_path)
    assert train(run, At(12, run.request_stop)) == "stopped"
    lines = run.metrics_csv.read_text().splitlines()
    assert len(lines) > 2
    run.metrics_csv.write_text("\n".join([lines[0], lines[2].replace("0.", "1.")]) + "\nhalf a li")
    assert train(run) == "completed"
    assert rows(run) == rows(whole)


def test_a_damaged_checkpoint_is_named(
    tmp_path: Path, whole: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder(tmp_path)
    assert train(run, At(12, run.request_stop)) == "stopped"
    newest = checkpoint.newest_first(run.checkpoints)[0]
    newest.write_bytes(newest.read_bytes()[:-9])
    assert train(run) == "completed"
    (event,) = [event for event in run.read_events() if event["kind"] == "checkpoint_damaged"]
    assert event["file"] == newest.name
    assert f"{newest.name} is damaged ({event['reason']})" in capsys.readouterr().out
    assert (rows(run), final(run)) == (rows(whole), final(whole))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return


def test_a_disk_that_is_full_for_a_while(small_disk: Path, wide: RunDirectory) -> None:
    """Over the ends of two epochs: training goes on, and nothing is missing afterwards."""
    run = folder(small_disk / "run")
    seen: list[list[str]] = []

    def free() -> None:
        time.sleep(1)  # for the attempt of step 15
        seen.append([path.name for path in checkpoint.newest_first(run.checkpoints)])
        (small_disk / "filler").unlink()

    def full() -> None:
        written(run, 5)
        fill(small_disk)

    callbacks = [At(7, full), At(16, free)]
    assert train(run, *callbacks, width=1000) == "completed"
    assert seen == [["step-000000005.npz"]]
    kinds = [event["kind"] for event in run.read_events()]
    assert kinds.count("checkpoint_failed") == 2
    assert (rows(run), final(run)) == (rows(wide), final(wide))
    assert list(run.path.rglob("*.tmp")) == []


def test_rows_and_events_wait_for_room(small_disk: Path) -> None:
    """In the order in which they came; a line that does not fit is not there by half."""
    run = folder(small_disk / "run")
    record = Record(run.begin_life(), writes=True)
    fill(small_disk)
    for number in range(4):
        record.event("long", text=f"{number}" * 5000)
    record.steps([{"step": 1, "value": 0.5}])
    assert not record.catch_up()
    assert "No space left on device" in record.problem
    assert [event["kind"] for event in run.read_events()] == ["begin"]
    (small_disk / "filler").unlink()
    assert record.catch_up()
    assert record.problem == ""
    events = run.read_events()
    assert [event["kind"] for event in events] == ["begin", "long", "disk", "long", "long", "long"]
    assert [event["text"][0] for event in events if event["kind"] == "long"] == list("0123")
    assert run.steps_csv.read_text() == "step,value\n1,0.5\n"


def test_a_disk_that_stays_full(small_disk: Path, wide: RunDirectory) -> None:
    """No exit record can be written either; once there is room, the run goes on from what it has."""
    run = folder(small_disk / "run")
    with pytest.raises(DiskError, match="No space left on device"):
        train(run, At(7, lambda: (written(run, 5), fill(small_disk))), width=1000)
    assert [path.name for path in checkpoint.newest_first(run.checkpoints)] == ["step-000000005.npz"]
    (small_disk / "filler").unlink()
    assert run.read_exit() is None
    begun: list[int] = []
    note = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda b, logs: begun.append(b))
    assert train(run, note, width=1000) == "completed"
    assert begun[0] == 5
    assert (rows(run), final(run)) == (rows(wide), final(wide))


def test_a_folder_that_is_read_only(tmp_path: Path, whole: RunDirectory) -> None:
    """Trained to the end, but without a checkpoint of it the run is not complete."""
    run = folder(tmp_path)
    run.checkpoints.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(run.checkpoints)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a read-only file system needs root")
    try:
        assert train(run) == "stopped"
    finally:
        subprocess.run(["umount", "-l", str(run.checkpoints)], check=True)
    reason = (run.read_exit() or {})["reason"]
    assert "trained to the end, but not all is saved" in reason
    assert "Read-only file system" in reason
    assert rows(run) == rows(whole)
    assert train(run) == "completed"
    assert (rows(run), final(run)) == (rows(whole), final(whole))
