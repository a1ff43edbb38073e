"""Studies of the tests' own on the played Summit, and `hlb` on its login node."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from stand_ins import LsfCluster

ROOT = Path(__file__).resolve().parents[2]
HLB = (sys.executable, "-c", "from horovod_lb.cli.main import main; main()")

# A job that knows its run folder and nothing of TensorFlow: it counts steps, as slowly as it is told to.
QUICK = """
import argparse, os, sys, time
from pathlib import Path

from horovod_lb.runs import RunDirectory

parser = argparse.ArgumentParser()
parser.add_argument("--run", type=Path)
run = RunDirectory(parser.parse_args().run)
if int(os.environ["JSM_NAMESPACE_RANK"]):
    sys.exit()
over = os.environ.get("HLB_SUPERSEDES")
life = run.begin_life("quick job", supersedes=int(over) if over else None)
done = run.path / "done"
step = int(done.read_text()) if done.exists() else 0
slow = life.number == 1 and Path("slow").exists()
while step < 20:
    if run.stop_requested():
        life.finish("stopped")
        sys.exit()
    time.sleep(0.2 if slow else 0.01)
    step += 0 if slow and step == 10 else 1
    done.write_text(str(step))
    life.heartbeat(step=step, steps=20)
life.append_metrics({"epoch": 1, "step": step, "val_accuracy": 0.5})
life.finish("completed", outcome="ok")
"""
QUICK_STUDY = """
name: quick
job: quick.py
model: {name: none}
data: {name: custom, examples: 1200, classes: 2}
resources: {workers: 12}
recipe:
  epochs: 1
  batch_size: 12
  reference: {batch_size: 12, learning_rate: 0.1}
seeds: [0, 1, 2]
"""

# Real training: in its first life a run goes on so slowly that something can happen to it.
TRAINING = """
import os, time
import horovod_lb as hlb
import keras

class Pace(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(float(os.environ.get("SECONDS_A_STEP", 0)))

def main(run):
    model = hlb.models.build("digits_cnn", classes=10)
    first = run.directory.life_number() == 1
    run.fit(model, run.optimizer(), run.load_data(), callbacks=[Pace()] if first else [])

if __name__ == "__main__":
    hlb.job(main)
"""
TRAINING_STUDY = """
name: digits
job: training.py
model: {name: digits_cnn}
data: {name: digits}
resources: {workers: 12, walltime: "WALLTIME"}
recipe:
  epochs: 6
  batch_size: 240
  groups: 12
  reference: {learning_rate: 0.05, batch_size: 240}
  warmup: {kind: gradual, epochs: 2, start: zero}
  schedule: {kind: cosine}
  optimizer: {kind: momentum, momentum: 0.9}
seeds: [0]
"""
TIMING = ("images_per_second", "seconds")
# Login nodes need not hold TensorFlow; here ranks are root's and share two cores.
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "HLB_DEBUG": "",
}


class Login:
    """A user of the cluster with a study."""

    def __init__(self, cluster: LsfCluster, job: str, study: str, profile: str = "") -> None:
        self.cluster = cluster
        cluster.environment.update(ENVIRONMENT)
        name = next(line.split()[1] for line in study.splitlines() if line.startswith("job:"))
        self.name = next(line.split()[1] for line in study.splitlines() if line.startswith("name:"))
        (cluster.work / name).write_text(job)
        (cluster.work / "study.yaml").write_text(study)
        if profile:
            machines = cluster.work / "machines"
            machines.mkdir()
            (machines / "mine.toml").write_text(f'extends = "summit"\n{profile}\n')
        self.machine = "mine" if profile else "summit"
        self.runs = cluster.work / "runs" / self.name

    def hlb(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A verb of `hlb`."""
        return self.cluster.run(*HLB, *words)

    def submit(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`hlb submit`."""
        return self.hlb("submit", "study.yaml", "--machine", self.machine, "--account", "ABC123", *words)

    def status(self) -> dict[str, Any]:
        """`hlb status --json`."""
        done = self.hlb("status", self.name, "--json")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def states(self) -> list[str]:
        """The state of each run."""
        return [run["state"] for run in self.status()["runs"]]

    def until_under_way(self, runs: int) -> None:
        """Waits until so many quick jobs have done a step: `running` may be the scheduler's word alone."""
        self.cluster.wait(lambda: len(list(self.runs.glob("*/done"))) >= runs)
        self.cluster.wait(lambda: self.states().count("running") == runs)

    def until(self, *states: str) -> list[str]:
        """Waits until every run is in one of these states."""

        def reached() -> list[str]:
            found = self.states()
            return found if found and set(found) <= set(states) else []

        try:
            return list(self.cluster.wait(reached, f"all runs {' or '.join(states)}"))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None

    def logs(self) -> str:
        """What jobs and launchers said, for a test that fails."""
        paths = sorted(self.runs.glob("submissions/*/*.log"))
        return "\n".join(f"== {path.name}\n{path.read_text()[-2000:]}" for path in paths)

    def job_names(self) -> list[str]:
        """The names of all jobs that LSF knows."""
        return [record["JOB_NAME"] for record in self.cluster.jobs(fields="job_name")]
