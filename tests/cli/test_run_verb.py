"""`hlb run` with real training: TensorFlow, Horovod and two ranks."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from horovod_lb.runs import RunDirectory, State, run_directories

ROOT = Path(__file__).parents[2]
STUDY = """
name: two-runs
job: jobs/digits_cnn.py
model: {name: digits_cnn}
data: {name: digits}
resources: {workers: 2}
recipe:
  epochs: 2
  batch_size: 96
  reference: {batch_size: 96, learning_rate: 0.05}
  optimizer: {kind: momentum, momentum: 0.9}
seeds: [0, 1]
"""


def hlb(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "horovod_lb.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("study") / "two-runs.yaml"
    file.write_text(STUDY)
    return file


def results(run: RunDirectory) -> list[tuple[str, ...]]:
    """What training decides of each epoch, as the digits in the file."""
    columns = ("epoch", "step", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy")
    with run.metrics_csv.open(newline="") as file:
        return [tuple(row[name] for name in columns) for row in csv.DictReader(file)]


def test_a_run_of_a_session_is_the_run_alone_bit_for_bit(study: Path, tmp_path: Path) -> None:
    pytest.importorskip("horovod.tensorflow")
    warm, alone = tmp_path / "warm", tmp_path / "alone"
    for folder, options in ((warm, []), (alone, ["--isolated"])):
        done = hlb("run", study, "--runs", folder, "--workers", "2", "--threads", "1", *options)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "2 of 2 runs have their result" in done.stdout
    runs = list(run_directories(warm / "two-runs"))
    assert len(runs) == 2
    pids = {run.life_record()["pid"] for run in runs}
    assert len(pids) == 1, "one session did both"
    for run in runs:
        other = RunDirectory(alone / "two-runs" / run.path.name)
        assert run.state() is other.state() is State.COMPLETED
        assert len(results(run)) == 2
        assert results(run) == results(other)
    assert results(runs[0]) != results(runs[1]), "the seeds differ"
    done = hlb("run", study, "--runs", warm)
    assert done.returncode == 0
    assert "0 runs to do, 2 ended before" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", "3"], "the 2 groups of run"),
        (["--workers", "0"], "--workers"),
        (["--where", "seed == 7"], "no run of"),
        (["--where", "seed ="], "is not an expression"),
        (["--set", "recipe.epoch=3"], "recipe.epochs"),
        (["--max-failures", "0"], "--max-failures"),
        (["--hosts", "auto"], "no allocation here"),
        (["--hosts", "nowhere.txt"], "nowhere.txt"),
        (["--walltime", "90"], "--walltime: '90' is no wall time"),
    ],
)
def test_a_wrong_request_starts_nothing(
    study: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    done = hlb("run", study, "--runs", tmp_path / "runs", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "runs").exists()
