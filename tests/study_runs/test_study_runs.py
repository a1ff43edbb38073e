"""Whole studies on real ranks: a warm session, one mpirun a run, a crash, a divergence, Ctrl-C."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from horovod_lb.runs import RunDirectory, State

ROOT = Path(__file__).resolve().parents[2]
HLB = [sys.executable, "-c", "from horovod_lb.cli.main import main; main()"]

JOB = """
import horovod_lb as hlb

class Crash(hlb.training.worker.keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise ValueError("this job is broken")

def main(run):
    model = hlb.models.build("digits_cnn", classes=10)
    crash = run.recipe["batch_size"] == 96
    run.fit(model, run.optimizer(), run.load_data(), callbacks=[Crash()] if crash else [])
"""
STUDY = """
name: whole
job: job.py
model: {name: digits_cnn}
data: {name: digits}
resources: {workers: 2}
recipe:
  epochs: 3
  batch_size: 64
  reference: {learning_rate: 0.05, batch_size: 64}
  scaling: linear
  warmup: {kind: gradual, epochs: 1, start: zero}
axes:
  recipe.batch_size: [64, 96, 128]
seeds: [0, 1]
"""
DIVERGES = ["--set", "recipe.reference.learning_rate=1.0e+6", "--where", "batch_size == 64 and seed == 0"]


def hlb(folder: Path, *words: str, expect: int = 0) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*HLB, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def by_point(runs: Path) -> dict[tuple[int, int], RunDirectory]:
    folders = [RunDirectory(path) for path in (runs / "whole").iterdir() if path.is_dir()]
    found = {}
    for folder in (folder for folder in folders if folder.run_json.exists()):
        spec = folder.read_spec()
        found[spec["recipe"]["batch_size"], spec["seed"]] = folder
    return found


def weights(run: RunDirectory) -> list[np.ndarray]:
    """What the newest checkpoint holds, but for its note of times."""
    with np.load(max(run.checkpoints.iterdir()), allow_pickle=False) as file:
        return [file[name] for name in file.files if name != "meta.json"]


def results(run: RunDirectory) -> list[dict[str, float]]:
    timing = ("images_per_second", "seconds")
    return [{key: value for key, value in row.items() if key not in timing} for row in run.read_metrics()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study, trained in a warm session; its batch size 96 crashes."""
    path = tmp_path_factory.mktemp("study")
    (path / "job.py").write_text(JOB)
    (path / "study.yaml").write_text(STUDY)
    output = hlb(path, "run", "study.yaml", expect=1)
    assert "this job is broken" in output
    return path


def test_a_crashing_run_takes_only_itself_along(folder: Path) -> None:
    states = {point: run.state() for point, run in by_point(folder / "runs").items()}
    expected = {64: State.COMPLETED, 96: State.FAILED, 128: State.COMPLETED}
    assert states == {(size, seed): expected[size] for size in expected for seed in (0, 1)}


def test_a_run_of_a_session_equals_the_run_alone(folder: Path) -> None:
    """The last run of the warm session, after a crash and others, against a fresh mpirun: bit for bit."""
    hlb(folder, "run", "study.yaml", "--isolated", "--runs", "alone", "--where", "batch_size == 128")
    warm, alone = by_point(folder / "runs"), by_point(folder / "alone")
    assert set(alone) == {(128, 0), (128, 1)}
    for point, run in alone.items():
        assert results(run) == results(warm[point])
        for ours, theirs in zip(weights(run), weights(warm[point]), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_finished_runs_are_not_trained_again(folder: Path) -> None:
    before = {point: run.segments.stat().st_mtime_ns for point, run in by_point(folder / "runs").items()}
    hlb(folder, "run", "study.yaml", "--where", "batch_size != 96")
    assert {
        point: run.segments.stat().st_mtime_ns for point, run in by_point(folder / "runs").items()
    } == before


def test_a_diverged_run_is_a_row_of_the_tables(folder: Path) -> None:
    hlb(folder, "run", "study.yaml", "--runs", "diverged", *DIVERGES)
    (run,) = by_point(folder / "diverged").values()
    record = run.read_exit()
    assert record["state"] == "diverged"
    assert record["reason"] == f"the loss is not finite at step {record['step']}"
    hlb(folder, "collect", "diverged/whole", "--out", "tables")
    with (folder / "tables/runs.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["state"], row["outcome"]) == ("diverged", "nan")
    assert "not finite" in row["reason"]


def test_ctrl_c_stops_and_the_next_start_goes_on_to_the_same_result(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = ["--runs", "stopped", "--where", "batch_size == 64 and seed == 1", "--set", "recipe.epochs=40"]
    sweep = subprocess.Popen(
        [*HLB, "run", "study.yaml", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not (
        runs := by_point(folder / "stopped") if (folder / "stopped/whole").exists() else {}
    ) or not any(len(run.read_metrics()) >= 2 for run in runs.values()):
        assert time.monotonic() < deadline and sweep.poll() is None, "no epoch was trained"
        time.sleep(0.05)
    os.killpg(sweep.pid, signal.SIGINT)
    output, _ = sweep.communicate(timeout=120)
    assert sweep.returncode == 130, output
    (run,) = by_point(folder / "stopped").values()
    assert run.state() is State.STOPPED, json.dumps(run.read_exit())
    stopped_at = len(run.read_metrics())
    assert 2 <= stopped_at < 40
    hlb(folder, "run", "study.yaml", *words)
    words[1] = "straight"
    hlb(folder, "run", "study.yaml", *words)
    (straight,) = by_point(folder / "straight").values()
    assert run.state() is State.COMPLETED
    assert results(run) == results(straight)
    assert [row["epoch"] for row in run.read_metrics()] == list(range(1, 41))
    for ours, theirs in zip(weights(run), weights(straight), strict=True):
        np.testing.assert_array_equal(ours, theirs)
