"""What a job can hand to `run.fit`."""

from __future__ import annotations

import json
import os
import platform
import signal
from pathlib import Path
from typing import Any

import pytest

from horovod_lb import models
from horovod_lb.data import Arrays
from horovod_lb.errors import DataError
from horovod_lb.runs import RunDirectory, State
from horovod_lb.study import expand, load_study
from horovod_lb.training.worker import execute

STUDY = """
name: custom
job: job.py
model: {name: digits_cnn}
data: {name: custom, examples: 300, val_examples: 57, classes: 10, scale: 0.0625}
recipe: {epochs: 2, batch_size: 30, reference: {learning_rate: 0.05}}
"""


@pytest.fixture
def run_folder(tmp_path: Path) -> RunDirectory:
    (tmp_path / "job.py").write_text("def main(run):\n    pass\n")
    (tmp_path / "study.yaml").write_text(STUDY)
    (spec,) = expand(load_study(tmp_path / "study.yaml"))
    return RunDirectory(tmp_path / "run").create(spec.spec)


def job(examples: int) -> Any:
    """A job with data of its own: the first `examples` digits."""

    def main(run: Any) -> None:
        from horovod_lb.data import DataSet, load

        digits = load({"name": "digits"})
        train = Arrays(digits.train.x[:examples], digits.train.y[:examples])
        val = Arrays(digits.val.x[:57], digits.val.y[:57])
        run.fit(models.build("digits_cnn"), data=DataSet(run.info, train, val, None))

    return main


def test_a_job_can_bring_its_own_data(run_folder: RunDirectory) -> None:
    assert execute(run_folder.path, job(300)) == "completed"
    assert [row["step"] for row in run_folder.read_metrics()] == [10, 20]


def test_data_of_another_size_than_the_study_says_is_refused(run_folder: RunDirectory) -> None:
    with pytest.raises(DataError, match="has 299 training examples, the study says 300"):
        execute(run_folder.path, job(299))
    assert run_folder.state() is State.FAILED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_signal_of_the_scheduler_stops_the_run_in_order(run_folder: RunDirectory, number: int) -> None:
    before = signal.getsignal(number)
    train = job(300)

    def main(run: Any) -> None:
        os.kill(os.getpid(), number)
        train(run)

    assert execute(run_folder.path, main) == "stopped"
    assert run_folder.state() is State.STOPPED
    assert len(list(run_folder.checkpoints.glob("step-*.npz"))) == 1
    assert signal.getsignal(number) is before
    assert execute(run_folder.path, train) == "completed"
    assert [row["step"] for row in run_folder.read_metrics()] == [10, 20]


def test_a_life_keeps_what_it_came_from(
    run_folder: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "1.sh"
    script.write_text("#!/bin/bash\nsrun ...\n")
    said = {
        "HLB_JOB": "slurm:7_2", "HLB_JOB_SCRIPT": str(script), "HLB_MACHINE": "m", "HLB_STAGE_SECONDS": "3",
        "LOADEDMODULES": "gcc/12", "NCCL_DEBUG": "INFO", "HLB_TOKEN": "hunter2",
    }  # fmt: skip
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert execute(run_folder.path, job(300)) == "completed"
    segment = run_folder.segments / "1"
    found = json.loads((segment / "provenance.json").read_text())
    assert (segment / "job.sh").read_bytes() == script.read_bytes()
    assert (found["batch"]["job"], found["batch"]["modules"]) == ("7_2", ["gcc/12"])
    assert (found["batch"]["stage_seconds"], found["machine"]) == (3.0, "m")
    assert (found["hosts"], found["nodes"]) == ([platform.node()], 1)
    assert found["environment"]["NCCL_DEBUG"] == "INFO"
    assert "hunter2" not in (segment / "provenance.json").read_text()
    assert run_folder.life_record()["job"] == "slurm:7_2"
