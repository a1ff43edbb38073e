"""`squeue`: a line a job, in the format that was asked for."""

from __future__ import annotations

import os
import pwd
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from horovod_lb.rehearsal.faults import answer
from horovod_lb.rehearsal.options import Option, OptionError, getopt, text
from horovod_lb.rehearsal.site import here, read_site
from horovod_lb.rehearsal.slurm.table import One, compressed, label, pick, reason, span, state
from horovod_lb.rehearsal.table import OVER, PENDING, Element, Job, Table, remembered

_DEFAULT = "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R"
_TITLES = {
    "i": "JOBID", "P": "PARTITION", "j": "NAME", "u": "USER", "t": "ST", "T": "STATE", "M": "TIME",
    "D": "NODES", "R": "NODELIST(REASON)", "r": "REASON", "N": "NODELIST", "L": "TIME_LEFT",
    "l": "TIME_LIMIT", "F": "ARRAY_JOB_ID", "K": "ARRAY_TASK_ID", "a": "ACCOUNT", "E": "DEPENDENCY",
    "S": "START_TIME",
}  # fmt: skip
_SHORT = {
    "PENDING": "PD", "RUNNING": "R", "COMPLETED": "CD", "FAILED": "F", "TIMEOUT": "TO", "CANCELLED": "CA",
    "NODE_FAIL": "NF",
}  # fmt: skip


def _format(value: str) -> str:
    for letter in re.findall(r"%\.?\d*(.)", value):
        if letter not in _TITLES:
            raise ValueError
    return value


_OPTIONS = {
    **dict.fromkeys(("-h", "--noheader"), Option("noheader")),
    **dict.fromkeys(("-r", "--array"), Option("array")),
    **dict.fromkeys(("-o", "--format"), Option("format", _format)),
    **dict.fromkeys(("-j", "--jobs"), Option("jobs", text)),
    **dict.fromkeys(("-n", "--name"), Option("name", text)),
    **dict.fromkeys(("-t", "--states"), Option("states", text)),
    **dict.fromkeys(("-u", "--user"), Option("user", text)),
    **dict.fromkeys(("-p", "--partition"), Option("queue", text)),
    "--me": Option("me"),
}


def main(arguments: Sequence[str]) -> int:
    """Exit status 0, or 1 for a wrong command line or a single unknown id."""
    folder = here()
    if (status := answer(folder, "squeue")) is not None:
        return 1 if status else 0
    try:
        options, rest = getopt(arguments, _OPTIONS)
        if rest:
            raise OptionError("unknown", rest[0])
    except OptionError as error:
        print(f"squeue: unrecognized option or value: {error}", file=sys.stderr)
        return 1
    jobs = remembered(Table(folder).jobs(), read_site(folder).clean_minutes)
    ids = options["jobs"].split(",") if "jobs" in options else None
    found = list(pick(jobs, ids)) if ids else [(job, element) for job in jobs for element in job.elements]
    if ids and len(ids) == 1 and isinstance(found[0], str):
        print("slurm_load_jobs error: Invalid job id specified", file=sys.stderr)
        return 1
    ones = [one for one in found if not isinstance(one, str) and _wanted(options, one)]
    shape = options.get("format", _DEFAULT)
    if "noheader" not in options:
        print(_line(shape, lambda letter: _TITLES[letter]))
    for job, elements in _grouped(ones, apart="array" in options):
        print(_line(shape, lambda letter, job=job, elements=elements: _value(letter, job, elements)))  # type: ignore[misc]
    return 0


def _wanted(options: dict[str, Any], one: One) -> bool:
    job, element = one
    me = pwd.getpwuid(os.geteuid()).pw_name
    if ("me" in options and job.user != me) or options.get("user", job.user) != job.user:
        return False
    if "name" in options and job.name not in options["name"].split(","):
        return False
    if options.get("queue", job.queue) != job.queue:
        return False
    states = options.get("states", "").upper().split(",")
    if states == [""]:
        return element.state not in OVER
    return "ALL" in states or state(element) in states or _SHORT[state(element)] in states


def _grouped(ones: Sequence[One], *, apart: bool) -> list[tuple[Job, list[Element]]]:
    """What waits of an array is one line, unless `--array` asks for a line each."""
    lines: list[tuple[Job, list[Element]]] = []
    waiting: dict[int, list[Element]] = {}
    for job, element in ones:
        if apart or not job.array or element.state != PENDING:
            lines.append((job, [element]))
        elif job.id in waiting:
            waiting[job.id].append(element)
        else:
            waiting[job.id] = [element]
            lines.append((job, waiting[job.id]))
    return lines


def _line(shape: str, value: Callable[[str], str]) -> str:
    def put(found: re.Match[str]) -> str:
        cell = value(found[3])
        if not found[2]:
            return cell
        width = int(found[2])
        return cell[:width].rjust(width) if found[1] else cell[:width].ljust(width)

    return re.sub(r"%(\.?)(\d*)(.)", put, shape).rstrip()


def _indices(elements: Sequence[Element], job: Job) -> str:
    numbers = compressed([f"x{element.index}" for element in elements])
    numbers = numbers.removeprefix("x").strip("[]")
    return numbers + (f"%{job.throttle}" if job.throttle else "")


def _value(letter: str, job: Job, elements: Sequence[Element]) -> str:
    first = elements[0]
    several = job.array is not None and first.state == PENDING and len(elements) > 1
    why = reason(job, first)
    hosts = compressed(first.hosts)
    limit = (job.minutes or 0) * 60
    left = max(0.0, limit - job.seconds_run(first)) if first.state not in (PENDING,) else limit
    values = {
        "i": f"{job.id}_[{_indices(elements, job)}]" if several else label(job, first),
        "F": str(job.id),
        "K": (_indices(elements, job) if several else str(first.index)) if job.array else "N/A",
        "P": job.queue,
        "j": job.name,
        "u": job.user,
        "a": job.account,
        "t": _SHORT[state(first)],
        "T": state(first),
        "M": span(job.seconds_run(first)),
        "D": str(job.nodes),
        "R": hosts or f"({why})",
        "r": why,
        "N": hosts,
        "L": span(left) if job.minutes else "UNLIMITED",
        "l": span(limit) if job.minutes else "UNLIMITED",
        "E": "(null)" if job.after is None else "afterany(unfulfilled)",
        "S": "N/A",
    }
    return values[letter]
