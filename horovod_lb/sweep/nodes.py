"""The hosts that a sweep may use: named by the scheduler or in a file, and asked what they hold."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from horovod_lb.errors import HlbError, RequestError
from horovod_lb.schedulers import children
from horovod_lb.schedulers.hosts import Host, from_environment, read_hostfile
from horovod_lb.schedulers.launchers import find_mpirun, mpirun

# Hosts that have not answered by then have no daemon of Open MPI running.
PATIENCE_SECONDS = 120.0

# Of what the launcher says when it fails.
SHOWN_LINES = 15

# What a rank on another host needs of this environment, where the launcher does not bring all of it.
_FORWARDED = re.compile(
    r"(HLB|HOROVOD|NCCL|TF|XLA|KERAS|OMP|MKL|UCX)_\w+|PATH|LD_LIBRARY_PATH|PYTHON\w+|VIRTUAL_ENV|CONDA_PREFIX"
)


@dataclass(frozen=True)
class Node:
    """A host: its name, the ranks that it takes at a time, the cores and GPUs that it lends.

    gpus: the devices as `CUDA_VISIBLE_DEVICES` names them.
    """

    name: str
    slots: int
    cores: int
    gpus: tuple[str, ...] = ()


def find_hosts(option: str, environ: Mapping[str, str]) -> list[Host]:
    """The hosts that `--hosts` means: `auto` for those of the allocation, else a host file.

    Raises:
        RequestError: there is no allocation; the file cannot be read.
        SchedulerError: the scheduler's variables cannot be understood.
    """
    if option != "auto":
        return read_hostfile(Path(option))
    hosts = from_environment(environ)
    if hosts is None:
        raise RequestError(
            "--hosts auto: no allocation here (neither SLURM_JOB_NODELIST nor LSB_JOBID is set). Ask for "
            "one, as in `salloc -N 2 --ntasks-per-node=6` or `bsub -Is -nnodes 2 ... bash`, and start it in "
            "there; or name the hosts in a file with a line `name slots=6` each: --hosts FILE. `hlb submit` "
            "sends the study to the batch system instead"
        )
    return hosts


def launch_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables for `mpirun` and its ranks on other hosts.

    The ranks get what concerns their training. A launcher inside a Slurm allocation starts its daemons with
    `srun`, whose steps wait for each other unless they may overlap; inside LSF it does without ssh.
    """
    variables = {name: value for name, value in environ.items() if _FORWARDED.fullmatch(name)}
    if "SLURM_JOB_ID" in environ:
        variables["SLURM_OVERLAP"] = "1"
    if "LSB_JOBID" in environ and shutil.which("blaunch", path=environ.get("PATH")):
        variables["PRTE_MCA_plm_ssh_agent"] = "blaunch"
    return variables


def probe(hosts: Sequence[Host]) -> list[Node]:
    """Asks every host, through `mpirun`, for its cores and GPUs; a host with GPUs takes at most a rank each.

    Raises:
        HlbError: `mpirun` cannot reach them all; the message has its words.
    """
    launch = mpirun(
        len(hosts),
        [sys.executable, "-m", "horovod_lb.sweep.here"],
        threads=1,
        hosts=[f"{host.name}:1" for host in hosts],
        environment=launch_environment(os.environ),
        program=find_mpirun(),
        as_root=os.geteuid() == 0,
    )
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        child = children.start(launch.argv, launch.environment, log)
        try:
            ended = f"status {child.wait(PATIENCE_SECONDS)}"
        except subprocess.TimeoutExpired:
            ended = f"not ended after {PATIENCE_SECONDS:.0f} s"
        finally:
            children.kill(child)
        said = log.read_text(errors="replace")
    answers = _answers(said)
    if len(answers) != len(hosts):
        names = ", ".join(host.name for host in hosts)
        last = "\n".join(said.strip().splitlines()[-SHOWN_LINES:])
        raise HlbError(f"mpirun cannot start a process on every host ({names}): {ended}\n{last}".rstrip())
    return [_node(host, answer) for host, answer in zip(hosts, _in_order(hosts, answers), strict=True)]


def _node(host: Host, answer: Mapping[str, Any]) -> Node:
    gpus = tuple(answer["gpus"])
    return Node(host.name, min(host.slots, len(gpus)) if gpus else host.slots, answer["cores"], gpus)


def _answers(text: str) -> list[dict[str, Any]]:
    """What the processes of `here` say, by rank; whatever else was printed is passed over."""
    answers = [json.loads(line) for line in text.splitlines() if line.startswith('{"rank"')]
    return sorted(answers, key=lambda answer: int(answer["rank"]))


def _in_order(hosts: Sequence[Host], answers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers in the order of the hosts: by name, or where names are aliases by rank."""
    by_name = {str(answer["host"]).partition(".")[0]: answer for answer in answers}
    names = [host.name.partition(".")[0] for host in hosts]
    return [by_name[name] for name in names] if set(names) == set(by_name) else list(answers)
