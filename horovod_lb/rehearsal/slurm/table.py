"""Jobs in Slurm's words: ids, states, reasons, times, lists of nodes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from itertools import groupby

from horovod_lb.rehearsal.table import DONE, HELD, PENDING, RUNNING, Element, Job

_ENDS = {"limit": "TIMEOUT", "owner": "CANCELLED", "node": "NODE_FAIL", "lost": "NODE_FAIL"}

One = tuple[Job, Element]


def state(element: Element) -> str:
    """Slurm's long word."""
    if element.state in (PENDING, HELD):
        return "PENDING"
    if element.state == RUNNING:
        return "RUNNING"
    if element.cause in _ENDS:
        return _ENDS[element.cause]
    return "COMPLETED" if element.state == DONE else "FAILED"


def reason(job: Job, element: Element) -> str:
    """Why it waits, else how it ended."""
    if element.state == HELD:
        return "JobHeldUser"
    if element.state != PENDING:
        return {"FAILED": "NonZeroExitCode", "TIMEOUT": "TimeLimit"}.get(state(element), "None")
    if element.not_before > time.time():
        return "BeginTime"
    if job.after is not None:
        return "Dependency"
    return "JobArrayTaskLimit" if job.throttle is not None else "Resources"


def label(job: Job, element: Element) -> str:
    """`12` or `12_3`."""
    return f"{job.id}_{element.index}" if job.array else str(job.id)


def span(seconds: float) -> str:
    """`[days-][hours:]minutes:seconds` as squeue has it."""
    whole = int(seconds)
    days, hours, minutes, rest = whole // 86400, whole // 3600 % 24, whole // 60 % 60, whole % 60
    if days:
        return f"{days}-{hours:02}:{minutes:02}:{rest:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def compressed(hosts: Sequence[str]) -> str:
    """`node[1-3,7]`; hosts of one prefix."""
    if len(hosts) < 2:
        return "".join(hosts)
    parts = [re.fullmatch(r"(.*?)(\d+)", host) for host in hosts]
    prefix = parts[0][1] if parts[0] else ""
    numbers = [part[2] for part in parts if part]
    ranges = []
    for _, run in groupby(enumerate(numbers), key=lambda pair: int(pair[1]) - pair[0]):
        members = [number for _, number in run]
        ranges.append(members[0] if len(members) == 1 else f"{members[0]}-{members[-1]}")
    return f"{prefix}[{','.join(ranges)}]"


def expanded(text: str) -> list[str]:
    """The hosts of a compressed list."""
    found: list[str] = []
    for part in re.findall(r"[^,\[\]]+(?:\[[^\]]*\])?", text):
        prefix, _, ranges = part.partition("[")
        if not ranges:
            found.append(prefix)
            continue
        for piece in ranges.rstrip("]").split(","):
            first, _, last = piece.partition("-")
            width = len(first)
            found += [f"{prefix}{number:0{width}}" for number in range(int(first), int(last or first) + 1)]
    return found


def pick(jobs: Sequence[Job], words: Sequence[str]) -> Iterator[One | str]:
    """Elements by `12`, `12_3`, `12_[1-3,7]`; what is not there comes as the word itself."""
    known = {job.id: job for job in jobs}
    for word in words:
        found = re.fullmatch(r"(\d+)(?:_(?:(\d+)|\[([\d,-]+)\]))?(?:\.\w+)?", word)
        job = known.get(int(found[1])) if found else None
        if found is None or job is None:
            yield word
            continue
        chosen = _chosen(found[2] or found[3])
        elements = [one for one in job.elements if chosen is None or one.index in chosen]
        if elements:
            yield from ((job, element) for element in elements)
        else:
            yield word


def _chosen(text: str | None) -> set[int] | None:
    if text is None:
        return None
    chosen: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        chosen |= set(range(int(first), int(last or first) + 1))
    return chosen
