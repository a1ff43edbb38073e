"""A study of the tests' own, a machine profile for the emulated cluster, and `hlb` on its login node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from slurm_cluster import Cluster

from horovod_lb.runs import RunDirectory, run_directories

ROOT = Path(__file__).resolve().parents[2]
HLB = (sys.executable, "-c", "from horovod_lb.cli.main import main; main()")

# A run's first life may be slow, so that something can happen to it: the pace is no part of the recipe.
JOB = """
import os, time
import horovod_lb as hlb
import keras

class Pace(keras.callbacks.Callback):
    def __init__(self, seconds, stuck_at):
        super().__init__()
        self.seconds, self.stuck_at = seconds, stuck_at

    def on_train_batch_end(self, batch, logs=None):
        time.sleep(600 if batch == self.stuck_at else self.seconds)

def main(run):
    slow = run.directory.life_number() <= int(os.environ.get("SLOW_LIVES", 1))
    seconds, stuck_at = float(os.environ.get("SECONDS_A_STEP", 0)), int(os.environ.get("STUCK_AT", -1))
    pace = Pace(seconds, stuck_at) if slow else Pace(0, None)
    model = hlb.models.build("digits_cnn", classes=10)
    run.fit(model, run.optimizer(), run.load_data(), callbacks=[pace])

if __name__ == "__main__":
    hlb.job(main)
"""
STEPS = 72
STUDY = """
name: digits
job: job.py
model: {name: digits_cnn}
data: {name: digits}
resources: {workers: 2, walltime: "0:10"}
recipe:
  epochs: 12
  batch_size: 240
  groups: 2
  reference: {learning_rate: 0.05, batch_size: 240}
  warmup: {kind: gradual, epochs: 2, start: zero}
  optimizer: {kind: momentum, momentum: 0.9}
seeds: [0, 1, 2, 3]
"""
PROFILE: Mapping[str, Any] = {
    "description": "the emulated cluster of these tests",
    "scheduler": "slurm",
    "launcher": "srun",
    "mpi": "pmix",
    "queue": "batch",
    "gpus_per_node": 1,
    "cores_per_node": 1,
    "ranks_per_node": 1,
    "grace_minutes": 1,
}
# The site of the tests: root may use MPI; two cores for all.
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
TIMING = ("images_per_second", "seconds")


class Study:
    """The study in a folder of its own, on a cluster."""

    def __init__(
        self, cluster: Cluster, folder: Path, reference: Callable[[], RunDirectory] | None = None
    ) -> None:
        self.cluster, self.folder = cluster, folder
        self.runs_root = folder / "runs"
        self._reference = reference

    @property
    def reference(self) -> RunDirectory:
        """The run of seed 0, trained without Slurm, Slurm's launcher and interruption."""
        assert self._reference is not None
        return self._reference()

    def train_here(self) -> RunDirectory:
        """Trains seed 0 on this machine, on two ranks with a thread each as the profile has it."""
        self.write()
        words = ("run", "study.yaml", "--workers", "2", "--threads", "1", "--where", "seed == 0")
        environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [*HLB, *words], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return self.run

    def write(
        self, *, seconds_a_step: float = 0, slow_lives: int = 1, stuck_at: int = -1, **profile: Any
    ) -> None:
        """Writes study, job and the profile `emulated`; `profile` are keys that differ from `PROFILE`.

        seconds_a_step: how long the first `slow_lives` lives of a run wait after each of the `STEPS` steps;
        stuck_at: the step (from 0) after which they hang.
        """
        machines = self.folder / "machines"
        machines.mkdir(parents=True, exist_ok=True)
        (self.folder / "job.py").write_text(JOB)
        (self.folder / "study.yaml").write_text(STUDY)
        numbers = {"SECONDS_A_STEP": seconds_a_step, "SLOW_LIVES": slow_lives, "STUCK_AT": stuck_at}
        pace = {name: str(number) for name, number in numbers.items()}
        keys = {**PROFILE, "environment": {**ENVIRONMENT, **pace}, **profile}
        (machines / "emulated.toml").write_text("".join(f"{key} = {toml(keys[key])}\n" for key in keys))

    def on_login(self, *command: str, expect: int | None = 0, timeout: float = 300, both: bool = True) -> str:
        """`command` on the login node, in the study's folder; what it prints, on both streams or one."""
        environment = {**self.cluster.environment(), **ENVIRONMENT, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            self.cluster.login.enter(*command, cwd=self.folder),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if both else subprocess.PIPE,
            text=True,
            timeout=timeout,
            check=False,
        )
        said = done.stdout + (done.stderr or "")
        assert expect is None or done.returncode == expect, f"{command}: {done.returncode}\n{said}"
        return done.stdout

    def hlb(self, *words: str, expect: int = 0, timeout: float = 300) -> str:
        """`hlb` with `words`; its exit code must be `expect`."""
        return self.on_login(*HLB, *words, expect=expect, timeout=timeout)

    def submit(self, *words: str, where: str = "seed == 0", expect: int = 0) -> str:
        """`hlb submit` of one run, or of those for which `where` holds."""
        return self.hlb(
            "submit", "study.yaml", "--machine", "emulated", "--where", where, *words, expect=expect
        )

    def runs(self) -> list[RunDirectory]:
        """All runs that have a folder, by seed."""
        return sorted(run_directories(self.runs_root / "digits"), key=lambda run: run.read_spec()["seed"])

    @property
    def run(self) -> RunDirectory:
        """The only run."""
        (run,) = self.runs()
        return run

    def status(self) -> dict[str, Any]:
        """`hlb status --json`."""
        return dict(json.loads(self.on_login(*HLB, "status", "study.yaml", "--json", both=False)))

    def states(self) -> list[str]:
        """The states of all runs as `hlb status` has them, by seed."""
        return [run["state"] for run in sorted(self.status()["runs"], key=lambda run: run["seed"])]

    def state(self) -> str:
        """The state of the only run."""
        (state,) = self.states()
        return state

    def job_ids(self) -> list[str]:
        """The ids of all jobs of this study that the scheduler knows, ended ones too, oldest first."""
        jobs = self.on_login("squeue", "--noheader", "--states=all", "--format=%F %o").splitlines()
        mine = {words[0] for words in map(str.split, jobs) if str(self.folder) in words[-1]}
        return sorted(mine, key=int)

    def job(self, number: int = 0) -> dict[str, str]:
        """What `scontrol show job` says of the first job, or of a later one, key by key."""
        words = self.on_login("scontrol", "show", "job", self.job_ids()[number]).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait_for(self, what: str, holds: Callable[[], object], seconds: float = 300) -> None:
        """Waits until `holds()`; what the files and the scheduler say is in the error otherwise."""
        began = time.monotonic()
        while not holds():
            failed = any((run.read_exit() or {}).get("state") == "failed" for run in self.runs())
            if failed or time.monotonic() - began > seconds:
                raise AssertionError(f"no {what} after {time.monotonic() - began:.0f} s\n{self.story()}")
            time.sleep(0.5)

    def wait_for_epochs(self, epochs: int, seconds: float = 180) -> None:
        """Waits until the only run has trained so many."""
        self.wait_for(
            f"epoch {epochs}", lambda: self.runs() and len(self.run.read_metrics()) >= epochs, seconds
        )

    def wait_for_end(self, state: str = "completed", seconds: float = 300) -> None:
        """Waits until all runs have left an exit record with `state` and no job is in the queue."""

        def ended() -> bool:
            records = [run.read_exit() or {} for run in self.runs()]
            return bool(records) and all(record.get("state") == state for record in records)

        self.wait_for(f"end as {state}", ended, seconds)
        self.wait_for("empty queue", lambda: not self.queued(), 60)

    def queued(self) -> list[str]:
        """The states of this study's jobs that wait, run or end just now."""
        lines = self.on_login("squeue", "--noheader", "--format=%T %o").splitlines()
        return [line.split()[0] for line in lines if str(self.folder) in line]

    def kill_all_on(self, node: str) -> None:
        """kill -9 for every process on `node` that names a folder of this study."""
        machine = self.cluster.nodes[node]
        lines = machine.run("ps", "-ewwo", "pid,args").splitlines()
        machine.run("kill", "-KILL", *(line.split()[0] for line in lines if str(self.folder) in line))

    def processes_on(self, node: str) -> list[str]:
        """Command lines on `node` that name a folder of this study: ranks, launchers, the task."""
        machine = self.cluster.nodes[node]
        return [line for line in machine.run("ps", "-ewwo", "args").splitlines() if str(self.folder) in line]

    def story(self) -> str:
        """Everything that helps to understand a failure."""
        said = [
            self.on_login(*HLB, "status", "study.yaml", expect=None),
            self.on_login("squeue", expect=None),
        ]
        logs = sorted(self.folder.glob("runs/digits/submissions/*/*.log"))
        said += [f"--- {path}\n{path.read_text(errors='replace')[-2000:]}" for path in logs]
        controller = (self.cluster.folder / "log" / "slurmctld.log").read_text(errors="replace").splitlines()
        ids = self.job_ids()
        mine = [line for line in controller if any(f"JobId={one} " in f"{line} " for one in ids)]
        said += ["--- slurmctld", *mine[-40:]]
        return "\n".join(said)


def toml(value: Any) -> str:
    """A value on a line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {toml(value[key])}" for key in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def provenance(run: RunDirectory, life: int = 1) -> dict[str, Any]:
    """What a life says of its origin."""
    return dict(json.loads((run.segments / str(life) / "provenance.json").read_text()))


def weights(run: RunDirectory) -> list[np.ndarray]:
    """All variables in the newest checkpoint: the model's and the optimizer's."""
    with np.load(max(run.checkpoints.glob("step-*.npz")), allow_pickle=False) as file:
        return [file[name] for name in file.files if name.startswith("v")]


def rows(run: RunDirectory) -> list[dict[str, float]]:
    """The metrics of every epoch but for what a clock says."""
    return [{key: value for key, value in row.items() if key not in TIMING} for row in run.read_metrics()]


def assert_same_result(run: RunDirectory, other: RunDirectory, tolerance: float = 0) -> None:
    """Weights, optimizer state and metrics of every epoch are equal, to the bit where `tolerance` is 0."""
    assert run.read_spec()["run_id"] == other.read_spec()["run_id"]
    for ours, theirs in zip(weights(run), weights(other), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
    ours, theirs = rows(run), rows(other)
    assert [row["epoch"] for row in ours] == list(range(1, STEPS // 6 + 1))
    assert [row.keys() for row in ours] == [row.keys() for row in theirs]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(
            [a[key] or 0 for key in a], [b[key] or 0 for key in a], rtol=0, atol=tolerance
        )
