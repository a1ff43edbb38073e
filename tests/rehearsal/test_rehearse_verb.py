"""`hlb rehearse`: a study through a played machine, from submission to tables, and nothing left behind."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stand_ins import PATIENCE, own_processes

ROOT = Path(__file__).resolve().parents[2]
HLB = (sys.executable, "-c", "from horovod_lb.cli.main import main; main()", "rehearse", "study.yaml")
# No TensorFlow: the job leaves what a training leaves. HOW says what becomes of it.
JOB = """
import argparse, os, sys, time
from pathlib import Path

from horovod_lb.runs import RunDirectory

parser = argparse.ArgumentParser()
parser.add_argument("--run", type=Path)
run = RunDirectory(parser.parse_args().run)
names = ("JSM_NAMESPACE_RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")
if int(next(os.environ[name] for name in names if name in os.environ)):
    sys.exit()
spec = run.read_spec()
life = run.begin_life("quick job")
if os.environ.get("HOW") == "hang":
    (Path(os.environ["AT"]) / "hangs").touch()
    time.sleep(600)
if os.environ.get("HOW") == "fail" and spec["seed"] == 1:
    life.finish("failed", reason="this seed fails")
    sys.exit(1)
for epoch in range(1, int(spec["recipe"]["epochs"]) + 1):
    life.append_metrics({"epoch": epoch, "step": epoch, "val_accuracy": 0.5 + 0.1 * spec["seed"]})
life.finish("completed", outcome="ok")
"""
STUDY = """
name: tiny
job: job.py
model: {name: none}
data: {name: custom, examples: 1200, classes: 10}
resources: {workers: 24, walltime: "1:30"}
recipe:
  epochs: 30
  batch_size: 24
  reference: {batch_size: 24, learning_rate: 0.1}
  warmup: {kind: gradual, epochs: 0, start: zero}
axes:
  recipe.warmup.epochs: [0, 3]
seeds: [0, 1]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the study in it."""
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "job.py").write_text(JOB)
    return tmp_path


def environment(**extra: str) -> dict[str, str]:
    """The user's."""
    rest = {name: value for name, value in os.environ.items() if name not in ("HLB_RUNS", "HLB_MACHINE")}
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return {**rest, **root, "PYTHONPATH": str(ROOT), **extra}


def rehearse(folder: Path, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Runs the verb to its end."""
    return subprocess.run(
        [*HLB, *words], cwd=folder, env=environment(**extra), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=2 * PATIENCE, check=False,
    )  # fmt: skip


def test_summit_from_submission_to_tables(folder: Path) -> None:
    done = rehearse(folder, "--machine", "summit", "--ranks", "1", TMPDIR="/tmp")
    assert done.returncode == 0, done.stdout + done.stderr
    study = folder / "runs" / "rehearsal" / "tiny"
    with (study / "results" / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert {row["state"] for row in rows} == {"completed"}
    # Three epochs, for the longest warmup's sake; the groups are the study's.
    assert {row["epochs"] for row in rows} == {"3"}
    assert {row["groups"] for row in rows} == {"24"}
    assert {float(row["final_val_accuracy"]) for row in rows} == {0.5, 0.6}
    assert "3 epochs instead of the study's, for the longest warmup's sake" in done.stdout
    assert "REHEARSAL is made up" in done.stdout
    # 24 ranks are 4 nodes; 4 runs of an hour and a half each.
    assert "4 runs in 4 jobs of up to 4 nodes: at most 24.0 node-hours" in done.stdout
    scripts = list(study.glob("submissions/*/*.sh"))
    assert "#BSUB -nnodes 4\n" in scripts[0].read_text()
    assert "#BSUB -P REHEARSAL\n" in scripts[0].read_text()
    assert not (folder / "runs" / "tiny").exists(), "real runs are elsewhere"
    assert not (folder / "runs" / "rehearsal" / ".stand-ins").exists()


@pytest.mark.parametrize("machine", ["frontier", "perlmutter", "generic-slurm", "generic-lsf", "slurm-6gpu"])
def test_every_shipped_machine(folder: Path, machine: str) -> None:
    words = ("--set", "resources.walltime=0:30", "--set", "resources.workers=8", "--where", "seed == 0")
    done = rehearse(folder, "--machine", machine, "--ranks", "2", "--out", "here", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"On {machine} the study itself is 2 runs in 2 jobs" in done.stdout
    assert len(list((folder / "here" / "tiny").glob("*/exit.json"))) == 2


def test_a_failed_run_is_a_failed_rehearsal(folder: Path) -> None:
    done = rehearse(
        folder, "--machine", "summit", "--where", "recipe.warmup.epochs == 0", "--keep", HOW="fail"
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "this seed fails" in done.stdout
    kept = folder / "runs" / "rehearsal" / ".stand-ins" / "tiny" / "bin"
    assert (kept / "bsub").is_file()
    table = subprocess.run([kept / "bjobs", "-a", "-w"], capture_output=True, text=True, check=False).stdout
    assert table.count("tiny-") == 2
    assert own_processes(kept.parent) == []


def test_ctrl_c_leaves_nothing_running(folder: Path) -> None:
    process = subprocess.Popen(
        [*HLB, "--machine", "summit", "--keep"],
        cwd=folder,
        env=environment(HOW="hang", AT=str(folder)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    end = time.monotonic() + PATIENCE
    while not (folder / "hangs").exists():
        assert process.poll() is None and time.monotonic() < end, process.communicate()[0]
        time.sleep(0.05)
    stand_ins = folder / "runs" / "rehearsal" / ".stand-ins" / "tiny"
    assert own_processes(stand_ins) != []
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, said
    assert own_processes(stand_ins) == []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--machine", "local"), "nothing to rehearse"),
        (("--machine", "nowhere"), "nowhere"),
        (("--machine", "summit", "--where", "seed > 7"), "no run of study.yaml is chosen"),
        (("--machine", "summit", "--epochs", "2"), "say --epochs N"),
        (("--machine", "summit", "--walltime", "2:30"), "2:00"),
    ],
)
def test_wrong_requests(folder: Path, words: tuple[str, ...], text: str) -> None:
    done = rehearse(folder, *words)
    assert (done.returncode, done.stderr.count("Traceback")) == (2, 0), done.stdout + done.stderr
    assert text in done.stderr
