"""Whether what a job waits for has come about.

A dependency is a nested list: `["and" | "or", a, b]`, `["not", a]`, `["singleton"]`, or a condition on a job,
`["done" | "exit" | "ended" | "started", job id, index or None]`. Each scheduler's grammar makes one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from horovod_lb.rehearsal.table import DONE, FAILED, OVER, RUNNING, Element, Job


def holds(condition: Any, job: Job, jobs: Mapping[int, Job]) -> bool:
    """Whether `job` may start as far as its dependency goes; a job that is gone counts as ended."""
    if condition is None:
        return True
    kind, *rest = condition
    if kind == "and":
        return all(holds(part, job, jobs) for part in rest)
    if kind == "or":
        return any(holds(part, job, jobs) for part in rest)
    if kind == "not":
        return not holds(rest[0], job, jobs)
    if kind == "singleton":
        return all(other.over for other in jobs.values() if _earlier_twin(other, job))
    elements = _elements(rest, jobs)
    return all(_state_holds(kind, element) for element in elements)


def conditions(condition: Any) -> Iterator[tuple[str, int, int | None]]:
    """The conditions on jobs in it: (kind, job id, index)."""
    if condition is None:
        return
    kind, *rest = condition
    if kind in ("and", "or", "not"):
        for part in rest:
            yield from conditions(part)
    elif kind != "singleton":
        yield kind, rest[0], rest[1]


def _earlier_twin(other: Job, job: Job) -> bool:
    return other.id < job.id and other.name == job.name and other.user == job.user


def _elements(target: Sequence[Any], jobs: Mapping[int, Job]) -> list[Element]:
    job_id, index = target
    job = jobs.get(job_id)
    if job is None:
        return []
    return [element for element in job.elements if index is None or element.index == index]


def _state_holds(kind: str, element: Element) -> bool:
    states = {"done": (DONE,), "exit": (FAILED,), "ended": OVER, "started": (RUNNING, *OVER)}
    return element.state in states[kind]
