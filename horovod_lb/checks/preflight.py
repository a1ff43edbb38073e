"""One launcher step over an allocation, and what its ranks have to say."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from horovod_lb.errors import RequestError
from horovod_lb.machines import Machine
from horovod_lb.machines.rank import MARK
from horovod_lb.schedulers import children, hosts, launchers
from horovod_lb.schedulers.environment import passed_on, variables
from horovod_lb.schedulers.steps import HOSTS, step
from horovod_lb.schedulers.types import JobRequest

STAGES = ("start", "versions", "world", "allreduce")
DOING = {
    "start": "starting",
    "versions": "importing TensorFlow, Keras, Horovod and MPI",
    "world": "meeting the others (hvd.init)",
    "allreduce": "all-reducing",
}
PROGRAM = ("-m", "horovod_lb.training.preflight")
_OF_THE_JOB = ("SLURM_GPUS_PER_NODE", "SLURM_TRES_PER_TASK", "SLURM_GPU_BIND", "SLURM_TRES_BIND")
# After a rank has failed, so long the others may still tell what they know.
_AFTERMATH_SECONDS = 10.0
_TAIL_LINES = 30


@dataclass
class Rank:
    """What a rank has told: the fields of all its stages together; `stages` in order, `error` of the last."""

    stages: list[str] = field(default_factory=list)
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def number(self) -> int | None:
        """Its rank by the launcher, else by Horovod: ranks that did not meet all believe to be the first."""
        launched = self.said["launched"][0]
        number = self.said.get("rank") if launched is None else launched
        return None if number is None else int(number)

    @property
    def host(self) -> str:
        """Where it runs."""
        return str(self.said["host"])

    @property
    def name(self) -> str:
        """`rank 3 on node2`, for messages."""
        return f"rank {'?' if self.number is None else self.number} on {self.host}"

    @property
    def error(self) -> str | None:
        """Why its last stage failed."""
        return self.said.get("error")

    @property
    def doing(self) -> str | None:
        """What it was at when it was last heard of; None where it came through all stages."""
        if self.error is not None:
            return DOING[self.stages[-1]]
        following = STAGES[len(self.stages) :]
        return DOING[following[0]] if following else None


@dataclass(frozen=True)
class Outcome:
    """What came of a step: `ranks` in order, `expected` of them; the launcher's status and last lines.

    silent: nothing was heard for that many seconds, so it was ended.
    """

    ranks: tuple[Rank, ...]
    expected: int
    code: int | None
    tail: tuple[str, ...]
    silent: float | None


def allocation(
    machine: Machine | None, file: Path | None, environ: Mapping[str, str]
) -> list[hosts.Host] | None:
    """The hosts to look at: of `file`, else of the allocation; None: this machine, without a scheduler.

    RequestError: there is no allocation, with what to do about it.
    """
    if file is not None:
        return hosts.read_hostfile(file, slots=machine.ranks_per_node if machine else 1)
    if machine is not None and machine.scheduler == "none":
        return None
    if (found := hosts.from_environment(environ)) is not None:
        return found
    ask = {"slurm": _salloc, "lsf": _bsub}
    way = ask[machine.scheduler](machine) if machine else "inside an allocation (salloc, bsub -Is) or a job"
    name = machine.name if machine else "NAME"
    raise RequestError(
        f"this is no allocation: no SLURM_JOB_NODELIST, no LSB_JOBID. Run `hlb preflight --machine {name}` "
        f"{way}; `hlb preflight --machine local` looks at this machine, `hlb doctor` at a login node"
    )


def _salloc(machine: Machine) -> str:
    options = [f"--ntasks-per-node={machine.ranks_per_node}", f"--cpus-per-task={machine.cores_per_rank}"]
    options += [f"--gpus-per-node={machine.gpus_per_node}"] if machine.gpus_per_node else []
    options += (
        [f"--account={machine.account or 'ACCOUNT'}"] if machine.account_required or machine.account else []
    )
    options += [f"--partition={machine.queue}"] if machine.queue else []
    return f"in `salloc --nodes=2 {' '.join([*options, *machine.directives])} --time=0:10:00`"


def _bsub(machine: Machine) -> str:
    options = [f"-P {machine.account or 'ACCOUNT'}"] if machine.account_required or machine.account else []
    options += [f"-q {machine.queue}"] if machine.queue else []
    return f"in `bsub -Is -nnodes 2 -W 0:10 {' '.join([*options, *machine.directives])} $SHELL`"


def launch(
    machine: Machine | None, found: Sequence[hosts.Host] | None, ranks: int | None, folders: Mapping[str, str]
) -> tuple[launchers.Launch, int]:
    """The step over `found` (None: this machine), and its number of ranks.

    RequestError: `ranks` do not fit.
    """
    container = machine is not None and machine.container
    python = (machine.python if machine else None) or ("python3" if container else sys.executable)
    options = [word for name, path in folders.items() for word in ("--folder", f"{name}={path}")]
    program = (python, *PROGRAM, *options)
    extra = {"TF_CPP_MIN_LOG_LEVEL": "3", "HLB_GPUS": machine.gpu_visibility if machine else "all"}
    if machine is None or machine.scheduler == "none":
        room = sum(host.slots for host in found) if found else (machine.ranks_per_node if machine else 1)
        ranks = ranks or room
        threads = machine.cores_per_rank if machine else 1
        places = None if found is None else hosts.pack(found, ranks)[0].hosts.split(",")
        as_root = os.geteuid() == 0
        mpirun = launchers.find_mpirun()
        return (
            launchers.mpirun(
                ranks,
                program,
                threads=threads,
                hosts=places,
                environment=extra,
                program=mpirun,
                as_root=as_root,
            ),
            ranks,
        )
    nodes = len(found or ())
    ranks = ranks or nodes * machine.ranks_per_node
    request = JobRequest(
        name="preflight",
        machine=machine,
        nodes=nodes,
        minutes=1,
        ranks=ranks,
        threads=machine.cores_per_rank,
        allreduce="ring",
        folder=Path.cwd(),
        runs="",
        environment=extra,
    )
    words = step(request, passed_on(request))
    if any(HOSTS in word for word in words):
        packed = hosts.pack(found or (), ranks, machine.ranks_per_node)[0].hosts
        words = tuple(word.replace(HOSTS, packed) for word in words)
    if words[0] == "mpirun":
        words = (str(launchers.find_mpirun()), *words[1:])
    found_variables = variables(request)
    script = site_script(machine, found_variables)
    return launchers.Launch(
        ("bash", "-c", script, "bash", *map(os.path.expandvars, words), *program), found_variables
    ), ranks


def site_script(machine: Machine, environment: Mapping[str, str]) -> str:
    """What a job script of `machine` does before its first step, then the step given as arguments."""
    lines = []
    if machine.modules:
        lines.append("type module > /dev/null 2>&1 || . /etc/profile")
        lines.append(f"module load {shlex.join(machine.modules)} || exit 1")
    lines += machine.setup
    if machine.launcher == "srun":
        # What salloc or sbatch say of the whole job is not meant for a step.
        lines.append('unset "${!SLURM_CPU_BIND@}" ' + " ".join(_OF_THE_JOB))
    elif machine.scheduler == "slurm":
        lines.append("export SLURM_CPU_BIND=none SLURM_OVERLAP=1")  # mpirun's daemons are steps
    lines += [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    return "\n".join([*lines, 'exec "$@"'])


def run(start: launchers.Launch, expected: int, silence: float) -> Iterator[Outcome | Sequence[Rank]]:
    """Starts the step and yields its ranks whenever there is news of them, at last the Outcome.

    It is ended where nothing is heard for `silence` seconds, or a while after a rank has failed.
    """
    ranks: dict[tuple[str, int], Rank] = {}
    tail: list[str] = []
    silent = None
    with _started(start) as (child, log), log.open("rb") as output:
        news = time.monotonic()
        rest = b""
        while True:
            code = child.poll()
            rest += output.read()
            *lines, rest = rest.split(b"\n")
            if lines:
                news = time.monotonic()
                _listen(lines, ranks, tail)
                yield tuple(ranks.values())
            failed = any(rank.error is not None for rank in ranks.values())
            patience = min(silence, _AFTERMATH_SECONDS) if failed else silence
            if code is not None:
                break
            if time.monotonic() - news > patience:
                silent = None if failed else silence
                break
            time.sleep(0.05)
    ordered = sorted(ranks.values(), key=lambda rank: (rank.number is None, rank.number, rank.host))
    yield Outcome(tuple(ordered), expected, code, tuple(tail[-_TAIL_LINES:]), silent)


@contextmanager
def _started(start: launchers.Launch) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The launcher, with its log in a temporary folder; all of it ends with the block."""
    with tempfile.TemporaryDirectory(prefix="hlb-preflight-") as folder:
        log = Path(folder) / "log"
        try:
            child = children.start(start.argv, start.environment, log)
        except OSError as error:
            raise RequestError(
                f"{start.argv[0]} cannot be started ({error.strerror}): load the module that brings it, or "
                "correct launcher in the machine profile"
            ) from None
        try:
            yield child, log
        finally:
            children.kill(child)


def _listen(lines: Sequence[bytes], ranks: dict[tuple[str, int], Rank], tail: list[str]) -> None:
    """Takes in what came: marked lines are ranks speaking, all others the launcher's."""
    for line in lines:
        text = line.decode(errors="replace").rstrip()
        before, marked, said = text.partition(MARK)
        if marked:
            try:
                found = json.loads(said)
                rank = ranks.setdefault((found["host"], found["pid"]), Rank())
                rank.stages.append(found.pop("stage"))
                rank.said |= found
            except (ValueError, KeyError, TypeError):
                tail.append(text)
        elif before.strip():
            tail.append(before)
