"""A study, a machine profile and stand-in commands for tests of `hlb submit`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

STUDY = """
name: tiny
job: train.py
model: {name: none}
data: {name: custom, examples: 1200, classes: 2}
resources: {workers: 6}
recipe:
  epochs: 2
  batch_size: 12
  reference: {batch_size: 12, learning_rate: 0.1}
axes:
  recipe.batch_size: [12, 24, 48]
seeds: [0, 1]
"""
PROFILE = """
scheduler = "slurm"
launcher = "srun"
nodes = 16
gpus_per_node = 6
cores_per_node = 12
[limits]
array_size = 2
[[walltimes]]
nodes = [1, 16]
limit = "2:00"
"""


class Site:
    """A folder with a study, its machine `site` and the commands of a Slurm that is not there."""

    def __init__(
        self, folder: Path, *, study: str = STUDY, profile: str = PROFILE, name: str = "tiny"
    ) -> None:
        self.folder = folder
        self.study = folder / "tiny.yaml"
        self.runs = folder / "runs"
        self.study_folder = self.runs / name
        (folder / "machines").mkdir(parents=True)
        (folder / "bin").mkdir()
        (folder / "home").mkdir()
        self.study.write_text(study)
        (folder / "train.py").write_text("def main(run): ...\n")
        (folder / "machines" / "site.toml").write_text(profile)
        for name in ("sbatch", "squeue", "sacct"):
            command = folder / "bin" / name
            standin = Path(__file__).with_name("standin_slurm.py")
            command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -SE "{standin}" {name} "$@"\n')
            command.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HLB_", "SLURM_"))}
        return {
            **kept,
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "STANDIN": str(self.folder),
            "HOME": str(self.folder / "home"),
            "HLB_RUNS": str(self.runs),
            "XDG_CONFIG_HOME": "",
        }

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "horovod_lb.cli.main", *map(str, arguments)]

    def hlb(self, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            **{"capture_output": True, "text": True, "env": self.environment, "timeout": 120, **options},
        )

    def submit(self, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.hlb("submit", self.study, "--machine", "site", *arguments, **options)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command("submit", self.study, "--machine", "site", *arguments),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def faults(self, **faults: Any) -> None:
        (self.folder / "faults.json").write_text(json.dumps(faults))

    def table(self) -> list[dict[str, Any]]:
        path = self.folder / "table.json"
        return json.loads(path.read_text()) if path.exists() else []

    def change_jobs(self, state: str) -> None:
        """All jobs are in `state` now, in Slurm's words."""
        jobs = [{**job, "state": state} for job in self.table()]
        (self.folder / "table.json").write_text(json.dumps(jobs))

    def forget_jobs(self) -> None:
        (self.folder / "table.json").write_text("[]")

    def times_sent(self) -> Counter[str]:
        """How many jobs that are not over work on each run, by the listings of the scripts that were sent."""
        found: Counter[str] = Counter()
        for job in self.table():
            if job["state"] in ("PENDING", "RUNNING") and job["dependency"] is None:
                script = Path(job["script"])
                found.update(Path(line).name for line in script.with_suffix(".txt").read_text().split())
        return found

    def run_ids(self) -> set[str]:
        plan = json.loads(self.hlb("plan", self.study, "--json").stdout)
        return {run["run_id"] for run in plan["runs"]}


def killed_at(site: Site, point: str, calls: int = 1) -> subprocess.CompletedProcess[str]:
    """A sender that kills itself at the n-th call of `point`."""
    script = f"""
import os, signal
from horovod_lb.batch import client, folders, send, submission, submit
owner = {point.rpartition(".")[0]}
name = {point.rpartition(".")[2]!r}
whole, calls = getattr(owner, name), []
def dies(*arguments, **options):
    calls.append(1)
    if len(calls) == {calls}:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(*arguments, **options)
setattr(owner, name, dies)
from horovod_lb.cli.main import main
main(["submit", {str(site.study)!r}, "--machine", "site"])
"""
    return subprocess.run(
        [sys.executable, "-c", script], env=site.environment, capture_output=True, text=True, timeout=60
    )
