"""How long a job may take, and in how many lives a run that needs longer gets through."""

from __future__ import annotations

import math
from dataclasses import dataclass

from horovod_lb.errors import RequestError
from horovod_lb.machines import Machine, hours
from horovod_lb.machines.profile import Bin

# Until ranks train: Python, TensorFlow and Horovod start on all nodes at once, from a shared file system.
START_MINUTES = 3
_STEP = 5


@dataclass(frozen=True)
class WallTime:
    """What a job asks for, and how many such jobs, one after the other, a run's work takes."""

    minutes: int
    segments: int


def wall_time(
    machine: Machine, nodes: int, *, work: float | None, all_in: bool = False, asked: int | None = None
) -> WallTime:
    """The wall time of a job on `nodes` nodes with `work` minutes of training in it.

    Args:
        work: None where it is not known: then the job asks for all that it may have, once.
        all_in: `work` is a wall time that the study states, with the start and the end of a job in it.
        asked: minutes from `--walltime`.

    The minutes are `work`, the start and the grace period, rounded up to 5, and at most the limit of the
    machine's bin for so many nodes. Work that does not fit takes ceil(work / (minutes - start - grace))
    segments: each of them starts and stops once.

    Raises:
        RequestError: `asked` is over the limit, or too short to get anywhere; the work does not fit and the
            machine's jobs do not go on (`resume = "none"`); neither a limit nor the work is known.
    """
    longest = machine.bin_for(nodes)
    around = START_MINUTES + machine.grace_minutes
    if asked is not None:
        _check_asked(asked, machine, nodes, longest, around)
    limit = asked or (longest.minutes if longest else None)
    if work is None:
        if limit is None:
            raise RequestError(
                f"how long a run takes is not known, nor does {machine.name} say how long a job may take: "
                'give --walltime H:MM, or say resources.walltime: "H:MM" in the study, which is what one run '
                "needs in all"
            )
        return WallTime(limit, 1)
    need = math.ceil(work if all_in else work + around)
    minutes = asked or min(_rounded(need), limit or _rounded(need))
    if need <= minutes:
        return WallTime(minutes, 1)
    if machine.resume == "none":
        raise RequestError(_no_way_on(need, minutes, machine, nodes, longest))
    if minutes <= around:
        raise RequestError(
            f"jobs of {hours(minutes)} on {machine.name} get nowhere: start and grace take {around} minutes"
        )
    return WallTime(minutes, math.ceil(work / (minutes - around)))


def _rounded(minutes: int) -> int:
    return -(-minutes // _STEP) * _STEP


def _check_asked(asked: int, machine: Machine, nodes: int, longest: Bin | None, around: int) -> None:
    if asked <= around:
        raise RequestError(
            f"--walltime {hours(asked)}: a job on {machine.name} needs {START_MINUTES} minutes to start and "
            f"{machine.grace_minutes} to stop, so {hours(around + 1)} is the least"
        )
    if longest is None or asked <= longest.minutes:
        return
    would_do = [f"--walltime {hours(longest.minutes)} at most", *_larger(machine, asked)]
    if machine.resume != "none":
        would_do.append(
            "or no --walltime at all: a run that needs longer goes on in "
            + ("a chain of jobs" if machine.resume == "chain" else "the next life of its job")
        )
    raise RequestError(
        f"--walltime {hours(asked)}: jobs on {_count(nodes)} of {machine.name} end after {longest.limit} "
        f"({_bin(longest)}); what would do: {'; '.join(would_do)}"
    )


def _no_way_on(need: int, minutes: int, machine: Machine, nodes: int, longest: Bin | None) -> str:
    would_do = [*_larger(machine, need), 'resume = "requeue" or "chain" in the profile', "a shorter run"]
    if longest is None or minutes < longest.minutes:
        would_do.insert(0, f"--walltime {hours(need)}")
    where = f" ({_bin(longest)})" if longest else ""
    return (
        f"a job needs {hours(need)} on {_count(nodes)}, gets {hours(minutes)} on {machine.name}{where}, and "
        f'its profile has resume = "none"; what would do: {"; ".join(would_do)}'
    )


def _larger(machine: Machine, wanted: int) -> list[str]:
    """The smallest number of nodes whose jobs may take `wanted` minutes, in words."""
    enough = [bin for bin in machine.walltimes if bin.minutes >= wanted]
    if not enough:
        return []
    smallest = min(enough, key=lambda bin: bin.nodes[0])
    return [f"{smallest.nodes[0]} nodes or more, whose jobs may take {smallest.limit}"]


def _bin(bin: Bin) -> str:
    return f"its bin for {bin.nodes[0]} to {bin.nodes[1]} nodes"


def _count(nodes: int) -> str:
    return "1 node" if nodes == 1 else f"{nodes} nodes"
