"""Jobs of the LSF stand-ins on a real Slurm, which gives nodes, kills and times out.

With `HLB_REHEARSAL_BACKEND=slurm`, `bsub -nnodes N` becomes `sbatch --nodes=N` with a task a GPU, and `jsrun`
becomes `srun --mpi=pmix`. Dependencies, throttles and requeues stay with the stand-ins: these rules are
LSF's, the machine is Slurm's.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from horovod_lb.rehearsal import ranks
from horovod_lb.rehearsal.life import token
from horovod_lb.rehearsal.processes import VARIABLE
from horovod_lb.rehearsal.site import Site
from horovod_lb.rehearsal.slurm.table import expanded
from horovod_lb.rehearsal.table import Element, Job, Table

POLL_SECONDS = 0.5
_WAITS = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "RESIZING", "SUSPENDED")
_CAUSES = {"TIMEOUT": "limit", "CANCELLED": "owner", "NODE_FAIL": "node", "PREEMPTED": "node"}


class SlurmLife:
    """A life of a job as one batch job of a real Slurm; the same calls as `life.Life`."""

    pid = None
    paused = 0.0

    def __init__(self, site: Site, table: Table, job: Job, element: Element) -> None:
        self.job = job
        self.index = element.index
        self.cause = ""
        self.problem = ""
        self._asked = 0.0
        spool = table.spool(job.id)
        variables = spool / f"{element.index}.environment.json"
        record = {**json.loads(variables.read_text()), VARIABLE: token(table, job, element)}
        variables.write_text(json.dumps(record))
        script = spool / f"{element.index}.sbatch"
        command = Path(__file__).parents[1] / "command.py"
        begin = f"exec {sys.executable} -E -S {command} lsf-on-slurm {spool} {element.index} {table.folder}"
        script.write_text(f"#!/bin/bash\n{begin}\n")
        self._id, self.problem = self._submit(site, script, spool)

    def poll(self) -> int | None:
        """None while Slurm has it wait or run, else its exit status."""
        if self._id is None:
            return 255
        if time.monotonic() - self._asked < POLL_SECONDS:
            return None
        self._asked = time.monotonic()
        said = _run(["scontrol", "--oneliner", "show", "job", self._id]).stdout
        state = re.search(r"\bJobState=(\w+)", said)
        if state is None or state[1] in _WAITS:
            return None
        code = re.search(r"\bExitCode=(\d+):(\d+)", said)
        status, number = (int(code[1]), int(code[2])) if code else (1, 0)
        self.cause = self.cause or _CAUSES.get(state[1], "")
        return status or (128 + number if number else (137 if self.cause else 0))

    def end(self, cause: str, sequence: Sequence[tuple[str, float]]) -> None:
        """Cancels it: Slurm sends TERM, and KILL after its KillWait."""
        self.cause = self.cause or cause
        self._cancel()

    def signal(self, name: str, *, group: bool) -> None:
        """A signal to the batch shell, and with `group` to its steps."""
        self._cancel(f"--signal={name}", "--full" if group else "--batch")

    def hurry(self) -> None:
        """Slurm's clock cannot be moved."""

    def kill(self, cause: str) -> None:
        """At once."""
        self.cause = self.cause or cause
        self._cancel("--signal=KILL", "--full")

    def _submit(self, site: Site, script: Path, spool: Path) -> tuple[str | None, str]:
        job, gpus = self.job, site.gpus
        options = [f"--nodes={job.nodes}", f"--job-name={job.name}", "--no-requeue", "--parsable"]
        options += [f"--ntasks-per-node={max(1, gpus)}"] + ([f"--gpus-per-node={gpus}"] if gpus else [])
        options += [f"--output={spool / str(self.index)}.out", "--open-mode=truncate"]
        if job.minutes is not None:
            options.append(f"--time={max(1, round(job.minutes * job.minute / 60))}")
        if job.policy.warning is not None:
            name, minutes = job.policy.warning
            options.append(f"--signal=B:{name}@{max(1, round(minutes * job.minute))}")
        done = _run(["sbatch", *options, str(script)], cwd=job.directory)
        found = re.match(r"(\d+)", done.stdout)
        return (found[1] if found else None), done.stderr

    def _cancel(self, *options: str) -> None:
        if self._id is not None:
            _run(["scancel", *options, self._id])


def _run(argv: Sequence[str], cwd: str | None = None) -> subprocess.CompletedProcess[str]:
    # The environment of an allocation is no request for another; which Slurm it is has to stay.
    others = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
    environ = {**others, **{name: os.environ[name] for name in ("SLURM_CONF",) if name in os.environ}}
    return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=cwd, env=environ)


def main(arguments: Sequence[str]) -> int:
    """Inside Slurm's batch job: becomes the LSF job, with the hosts that Slurm gave."""
    spool, index, folder = Path(arguments[0]), arguments[1], arguments[2]
    record = json.loads((Path(folder) / "jobs" / f"{spool.name}.json").read_text())
    environment = json.loads((spool / "environment.json").read_text())
    environment.update(json.loads((spool / f"{index}.environment.json").read_text()))
    # srun and mpirun need what Slurm says of the job; the submitter's own are of no use here.
    environment.update({name: value for name, value in os.environ.items() if name.startswith("SLURM")})
    hosts = expanded(os.environ["SLURM_JOB_NODELIST"])
    host_file = Path(environment["LSB_DJOB_HOSTFILE"])
    lines = host_file.read_text().split()[: len(environment["LSB_MCPU_HOSTS"].split()) // 2 - len(hosts)]
    lines += [host for host in hosts for _ in range(record["slots"])]
    host_file.write_text("".join(f"{line}\n" for line in lines))
    environment["LSB_HOSTS"] = " ".join(lines)
    counts = {host: lines.count(host) for host in lines}
    environment["LSB_MCPU_HOSTS"] = "".join(f"{host} {count} " for host, count in counts.items())
    os.chdir(record["directory"])
    if record["error"] is not None:
        os.dup2(os.open(spool / f"{index}.err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    os.execvpe(record["command"][0], record["command"], environment)


def srun(command: Sequence[str], *, asked: int, nodes: int, site: Site, visible: Sequence[str]) -> int:
    """A step of the LSF job as a step of the Slurm job; returns its exit status."""
    number = ranks.count(command, asked, site.ranks)
    used = min(nodes, number)
    per_host = -(-number // used)
    about = json.dumps({"kind": "jsm", "per_host": per_host, "visible": list(visible)})
    wrapper = [sys.executable, "-E", "-S", str(Path(ranks.__file__).with_name("rank.py")), about]
    argv = ["srun", "--mpi=pmix", f"--nodes={used}", f"--ntasks={number}", f"--ntasks-per-node={per_host}"]
    argv += ["--cpus-per-task=1", "--kill-on-bad-exit=1", "--exact"]
    environ = {**os.environ, "OMPI_MCA_mpi_yield_when_idle": "1"}
    sys.stdout.flush()
    os.execvpe("srun", [*argv, *wrapper, *command], environ)
