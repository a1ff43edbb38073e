"""Hosts of an allocation, read from the scheduler's variables or a file, and runs packed over them.

`python -m horovod_lb.schedulers.hosts` prints the hosts of this allocation, a rank each: `n1:1,n2:1`.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from horovod_lb.errors import RequestError, SchedulerError

# Set by a job script: a scheduler's slots may be cores, and then there are more of them than ranks.
RANKS_VARIABLE = "HLB_RANKS_PER_NODE"


@dataclass(frozen=True)
class Host:
    """A host of an allocation and how many ranks it takes."""

    name: str
    slots: int


@dataclass(frozen=True)
class Slot:
    """Where one run may go: `hosts` as Open MPI writes them (`n1:6,n2:6`).

    gpus: indices of the run's own GPUs, where several runs share a host; None: all that the host shows.
    """

    hosts: str
    gpus: tuple[int, ...] | None = None


def expand(text: str) -> list[str]:
    """The names in a compressed host list of Slurm's: `n[1-2,07],x` is n1, n2, n07, x.

    A range keeps the zeros of its first number; several brackets in a name vary like digits, the last one
    fastest (`scontrol show hostnames`).

    Raises:
        SchedulerError: it is not a host list.
    """
    return [name for word in _split(text) for name in _expand_word(word, text)]


def _split(text: str) -> list[str]:
    """The list cut at commas that stand outside brackets."""
    words, depth, start = [], 0, 0
    for position, letter in enumerate(text):
        depth += (letter == "[") - (letter == "]")
        if depth not in (0, 1):
            raise SchedulerError(f"{text!r} is no host list: its brackets do not match")
        if letter == "," and not depth:
            words.append(text[start:position])
            start = position + 1
    if depth:
        raise SchedulerError(f"{text!r} is no host list: its brackets do not match")
    return [word for word in (*words, text[start:]) if word]


def _expand_word(word: str, text: str) -> list[str]:
    names = [""]
    for plain, bracket in re.findall(r"([^\[\]]+)|\[([^\]]*)\]", word):
        ends = [plain] if plain else _numbers(bracket, text)
        names = [name + end for name in names for end in ends]
    return names


def _numbers(bracket: str, text: str) -> list[str]:
    numbers: list[str] = []
    for part in bracket.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not (last.isdecimal() and int(first) <= int(last))):
            raise SchedulerError(f"{text!r} is no host list: {part!r} is neither a number nor a range")
        numbers += [f"{n:0{len(first)}}" for n in range(int(first), int(last or first) + 1)]
    return numbers


def from_environment(environ: Mapping[str, str]) -> list[Host] | None:
    """The hosts of the Slurm or LSF allocation that `environ` tells of; None outside of one.

    LSF's launch node, where the batch script runs on systems with jsrun, is left out.

    Raises:
        SchedulerError: the variables are there but cannot be understood.
    """
    if "SLURM_JOB_NODELIST" in environ:
        hosts = _slurm(environ)
    elif "LSB_JOBID" in environ or "LSB_DJOB_HOSTFILE" in environ:
        hosts = _lsf(environ)
    else:
        return None
    if not hosts:
        raise SchedulerError("the scheduler's variables name no host")
    most = environ.get(RANKS_VARIABLE, "")
    return [Host(host.name, min(host.slots, int(most))) for host in hosts] if most.isdecimal() else hosts


def _slurm(environ: Mapping[str, str]) -> list[Host]:
    names = expand(environ["SLURM_JOB_NODELIST"])
    # Where nobody asked for tasks, Slurm counts one for the whole allocation; then cores are what there is.
    asked = any(name in environ for name in ("SLURM_NTASKS", "SLURM_NTASKS_PER_NODE"))
    variables = ["SLURM_TASKS_PER_NODE", "SLURM_JOB_CPUS_PER_NODE"]
    for variable in variables if asked else reversed(variables):
        if variable in environ:
            slots = _repeated(environ[variable], variable)
            break
    else:
        slots = [1] * len(names)
    if len(slots) != len(names):
        raise SchedulerError(
            f"SLURM_JOB_NODELIST={environ['SLURM_JOB_NODELIST']} has {len(names)} hosts, "
            f"but {variable}={environ[variable]} counts for {len(slots)}"
        )
    return [Host(name, count) for name, count in zip(names, slots, strict=True)]


def _repeated(text: str, variable: str) -> list[int]:
    """The numbers of `6(x2),3`: 6, 6, 3."""
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if match is None:
            raise SchedulerError(f"{variable}={text} cannot be understood")
        numbers += [int(match[1])] * int(match[2] or 1)
    return numbers


def _lsf(environ: Mapping[str, str]) -> list[Host]:
    """A name a slot in a file or in LSB_HOSTS; LSB_MCPU_HOSTS has names and numbers in turn."""
    if path := environ.get("LSB_DJOB_HOSTFILE"):
        try:
            names = Path(path).read_text().split()
        except OSError as error:
            raise SchedulerError(f"LSB_DJOB_HOSTFILE={path} cannot be read: {error.strerror}") from None
        return _without_launch_node(_counted((name, 1) for name in names))
    if text := environ.get("LSB_MCPU_HOSTS"):
        words = text.split()
        if len(words) % 2 or not all(word.isdecimal() for word in words[1::2]):
            raise SchedulerError(f"LSB_MCPU_HOSTS={text} is not a list of hosts and numbers")
        pairs = zip(words[::2], map(int, words[1::2]), strict=True)
        return _without_launch_node(_counted(pairs))
    return _without_launch_node(_counted((name, 1) for name in environ.get("LSB_HOSTS", "").split()))


def _without_launch_node(hosts: list[Host]) -> list[Host]:
    """Drops the first host if it is a launch node: `batch` is in its name, or it alone has a single slot."""
    if len(hosts) < 2:
        return hosts
    first, *others = hosts
    launch = "batch" in first.name or (first.slots == 1 and all(host.slots > 1 for host in others))
    return others if launch else hosts


def _counted(pairs: Iterable[tuple[str, int]]) -> list[Host]:
    """One host a name, in the order of their first appearance, with all of its slots."""
    slots: Counter[str] = Counter()
    for name, count in pairs:
        slots[name] += count
    return [Host(name, count) for name, count in slots.items()]


def read_hostfile(path: Path, *, slots: int = 1) -> list[Host]:
    """The hosts of a file with a line each: `name`, `name:slots` or `name slots=N`; `#` begins a comment.

    A line that gives no number counts `slots`; a name on several lines has the sum.

    Raises:
        RequestError: the file cannot be read, names no host, or has a line that is none of these.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"hosts file {path}: cannot be read: {error}") from None
    pairs = []
    for number, line in enumerate(lines, start=1):
        if not (words := line.partition("#")[0].split()):
            continue
        match = re.fullmatch(r"([A-Za-z0-9_.-]+)(?:(?::| slots=)([1-9][0-9]*))?", " ".join(words))
        if match is None:
            raise RequestError(
                f"hosts file {path}, line {number}: {line.strip()!r} is none of `name`, `name:slots` and "
                "`name slots=N`"
            )
        pairs.append((match[1], int(match[2] or slots)))
    if not pairs:
        raise RequestError(f"hosts file {path}: it names no host")
    return _counted(pairs)


def pack(hosts: Sequence[Host], ranks: int, ranks_per_node: int | None = None) -> list[Slot]:
    """The places for runs of `ranks` ranks that `hosts` have at a time, in the order of the hosts.

    A run that fits on a host gets a part of one, with GPUs of its own where another fits beside it (a GPU a
    rank); a larger one gets as few whole hosts as will do, with equal parts on all of them but the last.
    `ranks_per_node` is the most that a host takes, whatever its slots; None: its slots.

    Raises:
        RequestError: not one run fits.
    """
    if ranks < 1:
        raise RequestError(f"a run has at least one rank, not {ranks}")
    room = [(host.name, min(host.slots, ranks_per_node or host.slots)) for host in hosts]
    slots = [slot for name, most in room for slot in _within(name, most, ranks)] or _across(room, ranks)
    if not slots:
        offered = ", ".join(f"{name} {most}" for name, most in room[:8]) + (", ..." if len(room) > 8 else "")
        raise RequestError(
            f"a run of {ranks} ranks does not fit on these hosts ({offered or 'none'}): "
            "ask for more nodes or for fewer ranks (--workers)"
        )
    return slots


def _within(name: str, most: int, ranks: int) -> list[Slot]:
    """As many runs as one host takes."""
    count = most // ranks
    gpus = [tuple(range(i * ranks, (i + 1) * ranks)) if count > 1 else None for i in range(count)]
    return [Slot(f"{name}:{ranks}", own) for own in gpus]


def _across(room: Sequence[tuple[str, int]], ranks: int) -> list[Slot]:
    """Runs over several hosts each: neighbours in the list, no host in two runs."""
    slots, first = [], 0
    while first < len(room):
        for last in range(first + 1, len(room) + 1):
            most = min(count for _, count in room[first:last])
            if most * (last - first) >= ranks:
                slots.append(Slot(_shared(room[first:last], ranks)))
                first = last
                break
        else:
            first += 1
    return slots


def _shared(room: Sequence[tuple[str, int]], ranks: int) -> str:
    share = -(-ranks // len(room))
    parts = [min(share, ranks - i * share) for i in range(len(room))]
    return ",".join(f"{name}:{part}" for (name, _), part in zip(room, parts, strict=True) if part > 0)


def main() -> int:
    """Prints every host of the allocation with one rank, for a command that runs once a node."""
    found = from_environment(os.environ) or [Host(os.uname().nodename, 1)]
    print(",".join(f"{host.name}:1" for host in found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
