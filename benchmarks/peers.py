"""Tools under measurement in `batch.py`, each as its own users write it: 1,000 trivial jobs for Slurm.

A tool's work is a list of steps, each a command that starts, does its part and ends, as on a login node.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("submitit==1.5.4", "signac==2.4.1", "signac-flow==0.29.1", "maestrowf==1.2.1")
BATCH_SIZES = (16, 32, 64, 128)

# Answers at once: sbatch counts up, squeue and sacct print what was put there for them. All are counted.
STAND_IN = {
    "sbatch": """#!/bin/sh
echo "sbatch $*" >> "$STANDIN/calls"
case "$1" in --version) echo "slurm 23.11.0"; exit;; esac
read -r last < "$STANDIN/last"; next=$((last + 1)); echo $next > "$STANDIN/last"
case " $* " in *" --parsable "*) echo $next;; *) echo "Submitted batch job $next";; esac
""",
    "squeue": """#!/bin/sh
echo "squeue $*" >> "$STANDIN/calls"
exec cat "$STANDIN/squeue"
""",
    "sacct": """#!/bin/sh
echo "sacct $*" >> "$STANDIN/calls"
exec cat "$STANDIN/sacct"
""",
}


class Scheduler:
    """The stand-in for Slurm's commands in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir(parents=True)
        for name, text in STAND_IN.items():
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        self.empty()

    def empty(self) -> None:
        """No jobs, no calls."""
        (self.folder / "last").write_text("0\n")
        for name in ("squeue", "sacct", "calls"):
            (self.folder / name).write_text("")

    def answer(self, program: str, lines: Sequence[str]) -> None:
        """What `program` prints from now on."""
        (self.folder / program).write_text("".join(f"{line}\n" for line in lines))

    def calls(self) -> list[str]:
        """The commands since `empty`."""
        return (self.folder / "calls").read_text().splitlines()

    def environment(self) -> dict[str, str]:
        """The environment in which a tool finds it."""
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        # With bytecode for all of them, as any installed program has it.
        others = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {**others, "STANDIN": str(self.folder), "PATH": path, "PYTHONPATH": str(ROOT)}


@dataclass(frozen=True)
class Tool:
    """plan, render: commands for 1,000 jobs, none sent unless the tool cannot do without. send: what hands
    them to the scheduler, so that there is something to ask about; empty where `render` did. status: how its
    users look at them."""

    name: str
    files: Mapping[str, str]
    plan: Sequence[Sequence[str]]
    render: Sequence[Sequence[str]]
    send: Sequence[Sequence[str]]
    status: Sequence[Sequence[str]]


def make_environment(folder: Path) -> Path:
    """The Python of a virtual environment with the other tools; made once."""
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists() or ready.read_text().split() != list(PACKAGES):
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        subprocess.run([python, "-m", "compileall", "-q", folder / "lib"], check=False)
        ready.write_text("\n".join(PACKAGES))
    return python


def hlb(jobs: int) -> Tool:
    """This project, three commands; nothing is sent until `hlb submit`."""
    words = (sys.executable, "-c", "from horovod_lb.cli.main import main; main()")
    machine = ("--machine", "generic-slurm", "--walltime", "0:10")
    study = f"""name: trivial
job: job.py
model: {{name: any}}
data: {{name: digits}}
recipe:
  epochs: 2
  batch_size: 64
  reference: {{batch_size: 64, learning_rate: 0.1}}
  scaling: linear
axes:
  recipe.batch_size: {list(BATCH_SIZES)}
seeds: {list(range(jobs // len(BATCH_SIZES)))}
"""
    return Tool(
        "hlb",
        {"study.yaml": study, "job.py": "def main(run):\n    pass\n"},
        plan=[(*words, "plan", "study.yaml")],
        render=[(*words, "render", "study.yaml", *machine, "--out", "scripts")],
        send=[(*words, "submit", "study.yaml", *machine)],
        status=[(*words, "status", "study.yaml")],
    )


def submitit(python: Path, jobs: int) -> Tool:
    """A job array of function calls. Its script is written in the act of sending; sbatch is called once."""
    submit = f"""import submitit

def train(batch_size, seed):
    print(batch_size, seed)

executor = submitit.AutoExecutor(folder="logs", cluster="slurm")
executor.update_parameters(timeout_min=10, slurm_array_parallelism=100)
points = [(b, s) for b in {BATCH_SIZES} for s in range({jobs // len(BATCH_SIZES)})]
jobs = executor.map_array(train, *zip(*points))
open("ids", "w").write("\\n".join(job.job_id for job in jobs))
"""
    status = """import collections, submitit

jobs = [submitit.SlurmJob(folder="logs", job_id=line) for line in open("ids").read().split()]
print(collections.Counter(job.state for job in jobs))
"""
    return Tool(
        "submitit",
        {"submit.py": submit, "status.py": status},
        plan=[],
        render=[(str(python), "submit.py")],
        send=[],
        status=[(str(python), "status.py")],
    )


def signac_flow(python: Path, jobs: int) -> Tool:
    """A project with one operation; `submit --pretend` prints every script."""
    project = """import flow

class Project(flow.FlowProject):
    pass

@Project.post.isfile("done")
@Project.operation(cmd=True, directives={"np": 1, "walltime": 1 / 6})
def train(job):
    return f"echo {job.sp.batch_size} {job.sp.seed} > {job.path}/done"

if __name__ == "__main__":
    Project().main()
"""
    init = f"""import signac

project = signac.init_project()
for batch_size in {BATCH_SIZES}:
    for seed in range({jobs // len(BATCH_SIZES)}):
        project.open_job({{"batch_size": batch_size, "seed": seed}}).init()
"""
    return Tool(
        "signac-flow",
        {"project.py": project, "init.py": init},
        plan=[(str(python), "init.py")],
        render=[(str(python), "project.py", "submit", "--pretend")],
        send=[(str(python), "project.py", "submit")],
        status=[(str(python), "project.py", "status")],
    )


def maestro(python: Path, jobs: int) -> Tool:
    """A study with one step; a dry run plans and writes every script. Nothing is sent: its conductor would
    have to stay and watch, so `status` reads what the dry run left and asks no scheduler."""
    points = [(b, s) for b in BATCH_SIZES for s in range(jobs // len(BATCH_SIZES))]
    study = f"""description: {{name: trivial, description: trivial jobs}}
batch: {{type: slurm, host: here, bank: none, queue: batch}}
study:
  - name: train
    description: trivial
    run: {{cmd: "$(LAUNCHER) echo $(BATCH) $(SEED)", nodes: 1, procs: 1, walltime: "00:10:00"}}
global.parameters:
  BATCH: {{values: {[b for b, _ in points]}, label: BATCH.%%}}
  SEED: {{values: {[s for _, s in points]}, label: SEED.%%}}
"""
    program = str(python.with_name("maestro"))
    return Tool(
        "maestrowf",
        {"study.yaml": study},
        plan=[],
        render=[(program, "run", "--dry", "-fg", "--autoyes", "--out", "study", "study.yaml")],
        send=[],
        status=[(program, "status", "study")],
    )


def queue(tool: str, folder: Path, scheduler: Scheduler) -> None:
    """Lets the stand-in say, in the words that `tool` asks for, that all jobs wait."""
    if tool == "hlb":
        lines = []
        for number, call in enumerate(scheduler.calls(), start=1):
            words = dict(word.split("=", 1) for word in call.split() if "=" in word)
            first, last = map(int, words["--array"].partition("%")[0].split("-"))
            name = words["--job-name"]
            lines += [f"{number}_{i}|PENDING|Priority|10:00||{name}" for i in range(first, last + 1)]
        scheduler.answer("squeue", lines)
    elif tool == "submitit":
        ids = (folder / "ids").read_text().split()
        states = [f"{job_id}|PENDING|None assigned" for job_id in ids]
        scheduler.answer("sacct", ["JobID|State|NodeList", *states])
    elif tool == "signac-flow":
        printed = (folder / "render.out").read_text()
        names = re.findall(r'^#SBATCH --job-name="(.+)"', printed, re.MULTILINE)
        scheduler.answer("squeue", [f"PD{name:>100}" for name in names])
