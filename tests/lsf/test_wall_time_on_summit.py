"""Real ranks over Horovod in jobs that reach their wall time in mid-training, and end as if they had not."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from stand_ins import LsfCluster, alive
from summit_study import TIMING, TRAINING, TRAINING_STUDY, Login

from horovod_lb.rehearsal import faults
from horovod_lb.rehearsal.install import SUMMIT
from horovod_lb.runs import RunDirectory, run_directories

# Long enough that what the test wants to happen does happen in between: 36 steps.
SLOW = {"SECONDS_A_STEP": "1.0"}


def login(make: Callable[..., LsfCluster], profile: str = "", walltime: str = "0:30") -> Login:
    """The digits on 12 of Summit's GPUs, of which two ranks really start; minutes are minutes."""
    study = TRAINING_STUDY.replace("WALLTIME", walltime)
    return Login(make(minute=60.0, ranks=2, slots=2), TRAINING, study, profile)


def only_run(user: Login) -> RunDirectory:
    """The study's one run."""
    return next(iter(run_directories(user.runs)))


def result(user: Login) -> tuple[dict[str, np.ndarray], list[dict[str, str]]]:
    """The last checkpoint's variables, and the metrics without those that tell how fast it went."""
    run = only_run(user)
    with np.load(max(run.checkpoints.glob("step-*.npz"))) as saved:
        arrays = {name: saved[name] for name in saved.files if name != "meta.json"}
    with run.metrics_csv.open(newline="") as file:
        rows = [{key: row[key] for key in row if key not in TIMING} for row in csv.DictReader(file)]
    return arrays, rows


@pytest.fixture(scope="module")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, np.ndarray], list[dict[str, str]]]:
    """The same study in one go."""
    cluster = LsfCluster(tmp_path_factory.mktemp("uninterrupted"), replace(SUMMIT, ranks=2, slots=2))
    try:
        user = Login(cluster, TRAINING, TRAINING_STUDY.replace("WALLTIME", "0:30"))
        assert user.submit().returncode == 0
        user.until("completed")
        assert only_run(user).life_number() == 1
        return result(user)
    finally:
        cluster.end()


def train_until_warned(user: Login, job: int) -> None:
    """Submits, and has the warning come in the middle of the training."""
    user.cluster.environment.update(SLOW)
    done = user.submit()
    assert done.returncode == 0, done.stderr
    user.cluster.wait(lambda: progress(user) > 0, "training begins")
    faults.hurry(user.cluster.folder, job)
    user.cluster.wait(lambda: only_run(user).life_number() == 2, "the next life")
    stopped_at = sorted(path.name for path in only_run(user).checkpoints.glob("step-*.npz"))
    assert stopped_at and stopped_at[-1] < "step-00000036", "it was stopped before its end"


def progress(user: Login) -> int:
    """Steps that the run has done, as its heartbeat says."""
    runs = list(run_directories(user.runs))
    beat = runs[0].read_heartbeat() if runs else None
    return int((beat or {}).get("step") or 0)


def same(user: Login, expected: tuple[dict[str, np.ndarray], list[dict[str, str]]]) -> None:
    """Weights, optimizer state and metrics to the last bit; 240 examples a step, six steps an epoch."""
    arrays, rows = result(user)
    assert arrays.keys() == expected[0].keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected[0][name], err_msg=name)
    assert rows == expected[1]
    assert [row["step"] for row in rows] == [str(6 * epoch) for epoch in range(1, 7)]


def test_requeued_at_the_wall_time(
    make: Callable[..., LsfCluster], uninterrupted: tuple[dict[str, np.ndarray], list[dict[str, str]]]
) -> None:
    user = login(make)
    train_until_warned(user, 1)
    assert user.until("completed") == ["completed"]
    assert user.cluster.over(1) == ["DONE"]
    assert len(user.cluster.jobs()) == 1, "one id, two lives"
    assert only_run(user).life_number() == 2
    log = next(user.runs.glob("submissions/*/1.log")).read_text()
    assert log.count("begins") == 2, "the log of the first life is still there"
    same(user, uninterrupted)


def test_a_chain_at_the_wall_time(
    make: Callable[..., LsfCluster], uninterrupted: tuple[dict[str, np.ndarray], list[dict[str, str]]]
) -> None:
    user = login(make, profile='resume = "chain"', walltime="2:30")
    train_until_warned(user, 1)
    assert user.until("completed") == ["completed"]
    assert user.cluster.over(1) == ["EXIT"], "85: its run goes on in the next link"
    assert user.cluster.over(2) == ["DONE"]
    same(user, uninterrupted)


def test_cancelled_in_mid_training(make: Callable[..., LsfCluster]) -> None:
    user = login(make)
    user.cluster.environment.update(SLOW)
    assert user.submit().returncode == 0
    user.cluster.wait(lambda: progress(user) > 0, "training begins")
    pid = int(only_run(user).life_record()["pid"])
    assert alive([pid]) == [pid]
    assert user.hlb("cancel", user.name, "--yes").returncode == 0
    assert user.until("cancelled") == ["cancelled"]
    assert user.cluster.over(1) in (["EXIT"], ["DONE"])
    assert alive([pid]) == []


def test_results_of_real_ranks(
    uninterrupted: tuple[dict[str, np.ndarray], list[dict[str, str]]], tmp_path: Path
) -> None:
    """It learned something: the oracle of the comparisons above is no constant."""
    accuracy = [float(row["val_accuracy"]) for row in uninterrupted[1]]
    assert accuracy[-1] > 0.3 > 0.1
    assert len({row["train_loss"] for row in uninterrupted[1]}) == 6
