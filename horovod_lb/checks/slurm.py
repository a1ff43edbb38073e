"""What Slurm says of itself, of the partition and of the account, beside what the profile says."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from horovod_lb.checks.ask import ask
from horovod_lb.checks.finding import Finding, ok, problem, warning
from horovod_lb.machines import Machine, hours

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sacct", "srun")
SLOW = 5.0


@dataclass(frozen=True)
class Partition:
    """A line of `sinfo`: CPUs and GPUs of its smallest nodes, its time limit in minutes (None: no limit)."""

    name: str
    default: bool
    cpus: int
    gpus: int
    minutes: int | None
    nodes: int
    up: bool


def slurm_findings(machine: Machine) -> Iterator[Finding]:
    """Commands, controller, partition, nodes, account, limits, MPI types and records."""
    if missing := [name for name in COMMANDS if shutil.which(name) is None]:
        yield problem(
            "Slurm commands",
            f"not on PATH: {', '.join(missing)}",
            "use a login node of the machine, or load the module that brings them",
        )
        return
    yield ok("Slurm commands", ", ".join(COMMANDS))
    answer = ask(["sinfo", "-h", "-o", "%P|%c|%G|%l|%D|%a"])
    if not answer.fine:
        yield problem("Slurm answers", answer.complaint, "the controller is down or unreachable: try later")
        return
    seen = f"sinfo in {answer.seconds:.1f} s"
    yield (
        ok("Slurm answers", seen)
        if answer.seconds < SLOW
        else warning("Slurm answers", seen, "it is slow now")
    )
    yield from partition_findings(machine, parse_partitions(answer.stdout))
    yield account_finding(machine)
    yield array_finding(machine)
    if machine.launcher == "srun":
        yield mpi_finding(machine)
    yield records_finding()


def parse_partitions(text: str) -> list[Partition]:
    """The answer of `sinfo -h -o "%P|%c|%G|%l|%D|%a"`; a partition with several kinds of nodes once."""
    found: dict[str, Partition] = {}
    for line in filter(None, text.splitlines()):
        name, cpus, gres, limit, nodes, state = line.split("|")
        counts = [int(count) for count in re.findall(r"\bgpu:(?:[^:,()]+:)?(\d+)", gres)]
        one = Partition(
            name.rstrip("*"),
            name.endswith("*"),
            int(cpus.rstrip("+")),
            sum(counts),
            _minutes(limit),
            int(nodes),
            state == "up",
        )
        if other := found.get(one.name):
            least = (min(one.cpus, other.cpus), min(one.gpus, other.gpus))
            one = Partition(
                one.name, one.default, *least, one.minutes, one.nodes + other.nodes, one.up or other.up
            )
        found[one.name] = one
    return list(found.values())


def partition_findings(machine: Machine, partitions: list[Partition]) -> Iterator[Finding]:
    """Whether the profile's partition exists and its nodes are as the profile says."""
    names = ", ".join(one.name for one in partitions)
    if machine.queue is None:
        mine = next((one for one in partitions if one.default), None)
        if mine is None:
            yield problem("partition", f"none is the default of {names}", 'set queue = "..." in the profile')
            return
    else:
        mine = next((one for one in partitions if one.name == machine.queue), None)
        if mine is None:
            yield problem("partition", f"there is no {machine.queue}", f"set queue to one of {names}")
            return
    limit = "no time limit" if mine.minutes is None else f"at most {hours(mine.minutes)}"
    seen = f"{mine.name}: {mine.nodes} nodes of {mine.cpus} CPUs and {mine.gpus} GPUs, {limit}"
    wrong = list(differences(machine, mine))
    if not mine.up:
        yield problem("partition", f"{mine.name} is down", f"set queue to one of {names}, or wait")
    elif any(serious for _, serious in wrong):
        yield problem("partition", seen, "; ".join(text for text, _ in wrong))
    elif wrong:
        yield warning("partition", seen, "; ".join(text for text, _ in wrong))
    else:
        yield ok("partition", seen)


def differences(machine: Machine, mine: Partition) -> Iterator[tuple[str, bool]]:
    """What the profile should say instead, and whether jobs would be refused as it is."""
    if machine.cores_per_node != mine.cpus:
        yield (
            f"the profile says cores_per_node = {machine.cores_per_node}",
            machine.cores_per_node > mine.cpus,
        )
    if machine.gpus_per_node != mine.gpus:
        yield f"the profile says gpus_per_node = {machine.gpus_per_node}", machine.gpus_per_node > mine.gpus
    if machine.nodes is not None and machine.nodes > mine.nodes:
        yield f"the profile says nodes = {machine.nodes}", False
    longest = max((bin.minutes for bin in machine.walltimes), default=None)
    if mine.minutes is not None and longest is None:
        yield (
            f'say so: [[walltimes]] nodes = [1, {mine.nodes}], limit = "{hours(mine.minutes)}"; Slurm takes '
            "a longer job and never starts it",
            False,
        )
    elif mine.minutes is not None and longest is not None and longest > mine.minutes:
        yield f"the profile's longest bin is {hours(longest)}: such jobs would wait for ever", True


def account_finding(machine: Machine) -> Finding:
    """Whether the account is given where it must be, and is one of the user's."""
    user = os.environ.get("USER") or os.environ.get("LOGNAME") or str(os.getuid())
    answer = ask(["sacctmgr", "-nP", "show", "assoc", f"user={user}", "format=Account"])
    known = sorted(set(answer.stdout.split())) if answer.fine else []
    listed = ", ".join(known)
    if machine.account is None:
        if machine.account_required:
            choice = f": one of {listed}" if known else ""
            return problem("account", "none", f'set account = "..." in the profile, or --account{choice}')
        return ok("account", f"none; known for {user}: {listed}" if known else "none")
    if not answer.fine or not known:
        return ok("account", f"{machine.account} (Slurm keeps no list to compare with)")
    if machine.account.lower() not in known:
        return problem("account", f"{machine.account} is not {user}'s", f"set account to one of {listed}")
    return ok("account", machine.account)


def array_finding(machine: Machine) -> Finding:
    """Whether arrays of the profile's size are allowed; an index is at most MaxArraySize - 1."""
    answer = ask(["scontrol", "show", "config"])
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", answer.stdout, re.MULTILINE)
    if not match:
        return warning(
            "arrays", answer.complaint, "set limits.array_size in the profile by the site's manual"
        )
    most = int(match[1]) - 1
    said = machine.limits.array_size
    if most < 1:
        return problem("arrays", "the site allows none", "set array_size = 1 in [limits]")
    if said is None or said > most:
        how = "the profile does not say" if said is None else f"the profile says {said}"
        make = problem if said is not None else warning
        return make("arrays", f"at most {most} jobs, {how}", f"set array_size = {most} in [limits]")
    return ok("arrays", f"at most {most} jobs, the profile keeps to {said}")


def mpi_finding(machine: Machine) -> Finding:
    """Whether srun offers the profile's MPI type."""
    answer = ask(["srun", "--mpi=list"])
    text = answer.stdout + answer.stderr
    types = re.findall(r"^\s+([\w-]+)\s*$", text, re.MULTILINE)
    types += re.findall(r"pmix_v\d+", text)
    if not types:
        return warning("srun --mpi", answer.complaint, "ask for `srun --mpi=list` by hand")
    listed = ", ".join(dict.fromkeys(types))
    if machine.mpi is None:
        return ok("srun --mpi", f"the site's default; there are {listed}")
    if machine.mpi not in types:
        return problem(
            "srun --mpi", f"{machine.mpi} is not among {listed}", "set mpi in the profile to one of them"
        )
    return ok("srun --mpi", f"{machine.mpi}, of {listed}")


def records_finding() -> Finding:
    """Whether `sacct` answers: without it, why a job ended is known as long as the controller remembers."""
    answer = ask(["sacct", "-X", "-n", "-P", "-o", "JobID", "-S", "now-1minutes"])
    if not answer.fine:
        return warning(
            "sacct", answer.complaint, "why jobs ended is known for minutes only; states stay right"
        )
    return ok("sacct", f"answers in {answer.seconds:.1f} s")


def _minutes(text: str) -> int | None:
    """Slurm's `days-hours:minutes:seconds`, any part of it, in minutes."""
    if not re.fullmatch(r"[\d:-]+", text):
        return None
    days, dash, rest = text.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    while dash and len(parts) < 3:
        parts.append(0)
    while len(parts) < 3:
        parts.insert(0, 0)
    return int(days or 0) * 1440 + parts[0] * 60 + parts[1] + (parts[2] > 0)
