"""The fields of `bjobs -o`: names, widths, values."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from horovod_lb.rehearsal.lsf.table import STATES, NoJob, One, moment, pending_reason, reason
from horovod_lb.rehearsal.options import OptionError
from horovod_lb.rehearsal.table import HELD, OVER, PENDING, RUNNING, Element, Job

# Documented fields whose value the stand-ins do not know are empty.
_EMPTY = """
    user_group application service_class job_group job_priority rsvid esub resume_reason
    kill_issue_host pre_exec_command pids ask_hosts host_file exclusive estimated_start_time
    specified_start_time specified_terminate_time estimated_run_time ru_utime ru_stime %complete
    cpu_used idle_factor exception_status mem max_mem avg_mem memlimit swap swaplimit gpu_num
    gpu_mode gpu_alloc nthreads hrusage input_file exec_home effective_resreq combined_resreq
    charged_saap
"""
_ALIASES = {
    "id": "jobid", "name": "job_name", "description": "job_description", "project": "proj_name",
    "proj": "proj_name", "cmd": "command", "ugroup": "user_group", "app": "application",
    "sla": "service_class",
    "group": "job_group", "priority": "job_priority", "runlimit": "runtimelimit", "saap": "charged_saap",
}  # fmt: skip
_WIDTHS = {
    "jobid": 7, "jobindex": 8, "stat": 5, "user": 7, "queue": 10, "job_name": 10, "job_description": 17,
    "proj_name": 11, "exit_code": 10, "exit_reason": 50, "kill_reason": 50, "suspend_reason": 50,
    "dependency": 15, "command": 15, "from_host": 11, "first_host": 11, "exec_host": 11, "submit_time": 15,
    "start_time": 15, "time_left": 11, "finish_time": 16, "pend_time": 12, "run_time": 15,
}  # fmt: skip
_DEFAULT_WIDTH = 11


class Field(NamedTuple):
    """A column: `width` None as the field's own; `right`: values at its right edge."""

    name: str
    width: int | None
    right: bool


class Format(NamedTuple):
    """What `-o` asks for; with a delimiter the columns have no widths of their own."""

    columns: tuple[Field, ...]
    delimiter: str | None


def parse(value: str) -> Format:
    """`"jobid stat:6 job_name delimiter='|'"`. OptionError: an unknown field."""
    delimiter = None
    if found := re.search(r"\bdelimiter=(?:'([^']*)'|\"([^\"]*)\"|(\S+))", value):
        delimiter = next(part for part in found.groups() if part is not None)
        value = value[: found.start()] + value[found.end() :]
    columns = []
    for word in value.split():
        piece = re.fullmatch(r"([A-Za-z_%]+)(?::(-?)(\d*))?", word)
        name = piece[1].lower() if piece else word
        name = _ALIASES.get(name, name)
        if piece is None or name not in _VALUES:
            raise OptionError("bad", "-o", f"unknown field {word}")
        columns.append(Field(name, int(piece[3]) if piece[3] else None, piece[2] == "-"))
    if not columns:
        raise OptionError("bad", "-o", "no field")
    return Format(tuple(columns), delimiter)


def as_lines(shape: Format, ones: Sequence[One], *, header: bool) -> list[str]:
    """A line a job. A value longer than a stated width keeps its end, after a `*`."""
    rows = [[field.name.upper() for field in shape.columns]] if header else []
    rows += [[value(field.name, one) or "-" for field in shape.columns] for one in ones]
    lines = []
    for row in rows:
        cells = [_cell(text, field, shape.delimiter) for text, field in zip(row, shape.columns, strict=True)]
        lines.append((shape.delimiter or " ").join(cells).rstrip())
    return lines


def as_json(shape: Format, ones: Sequence[One], missing: Sequence[NoJob]) -> str:
    """The records, as text; a job that is not there is a record with ERROR."""
    records: list[dict[str, str]] = [
        {field.name.upper(): value(field.name, one) for field in shape.columns} for one in ones
    ]
    records += [{"JOBID": str(one), "ERROR": f"Job <{one}> is not found"} for one in missing]
    return json.dumps({"COMMAND": "bjobs", "JOBS": len(records), "RECORDS": records}, indent=2)


def value(name: str, one: One) -> str:
    """The text of a field; empty where it has none."""
    return _VALUES[name](*one)


def _cell(text: str, field: Field, delimiter: str | None) -> str:
    if field.width is not None and len(text) > field.width:
        text = f"*{text[len(text) - field.width + 1 :]}" if field.width > 1 else "*"
    if delimiter is not None:
        return text
    width = field.width or _WIDTHS.get(field.name, _DEFAULT_WIDTH)
    return text.rjust(width) if field.right else text.ljust(width)


def _exit_code(job: Job, element: Element) -> str:
    over = element.state in OVER and element.exit_code
    return str(element.exit_code) if over else ""


def _run_time(job: Job, element: Element) -> str:
    return f"{job.seconds_run(element):.0f} second(s)"


def _time_left(job: Job, element: Element) -> str:
    if job.minutes is None or element.state != RUNNING:
        return ""
    minutes = max(0, int(job.minutes - job.seconds_run(element) / 60))
    return f"{minutes // 60}:{minutes % 60:02} L"


def _finish_time(job: Job, element: Element) -> str:
    if element.state == RUNNING and element.start and job.minutes is not None:
        return f"{moment(element.start + element.paused + job.minutes * job.minute)} L"
    return moment(element.finish) if element.state in OVER else ""


def _pend_time(job: Job, element: Element) -> str:
    end = element.start if element.state != PENDING and element.start else time.time()
    return f"{max(0.0, end - job.submitted):.0f}"


def _hosts(job: Job, element: Element) -> str:
    counted = Counter(dict.fromkeys(element.hosts, job.slots))
    return ":".join(f"{slots}*{host}" for host, slots in counted.items())


_Value = Callable[[Job, Element], str]
_VALUES: dict[str, _Value] = {
    **{name: (lambda job, element: "") for name in _EMPTY.split()},
    "jobid": lambda job, element: str(job.id),
    "jobindex": lambda job, element: str(element.index),
    "stat": lambda job, element: STATES[element.state],
    "user": lambda job, element: job.user,
    "queue": lambda job, element: job.queue,
    "job_name": lambda job, element: job.name + (f"[{element.index}]" if job.array else ""),
    "job_description": lambda job, element: str(job.told.get("description", "")),
    "proj_name": lambda job, element: job.account,
    "exit_code": _exit_code,
    "exit_reason": lambda job, element: reason(element) if element.state in OVER else "",
    "kill_reason": lambda job, element: "",
    "suspend_reason": lambda job, element: pending_reason(element, job) if element.state == HELD else "",
    "pend_reason": lambda job, element: pending_reason(element, job) if element.state == PENDING else "",
    "dependency": lambda job, element: str(job.told.get("after", "")),
    "command": lambda job, element: " ".join(job.command),
    "from_host": lambda job, element: "login",
    "first_host": lambda job, element: (element.hosts or [""])[0],
    "exec_host": _hosts,
    "nexec_host": lambda job, element: str(len(element.hosts)) if element.hosts else "",
    "alloc_slot": _hosts,
    "nalloc_slot": lambda job, element: str(job.slots * len(element.hosts)) if element.hosts else "",
    "nreq_slot": lambda job, element: str(job.slots * job.nodes),
    "slots": lambda job, element: str(job.slots * job.nodes),
    "submit_time": lambda job, element: moment(job.submitted),
    "start_time": lambda job, element: moment(element.start),
    "finish_time": _finish_time,
    "time_left": _time_left,
    "run_time": _run_time,
    "pend_time": _pend_time,
    "runtimelimit": lambda job, element: "" if job.minutes is None else f"{job.minutes:.1f}",
    "warning_action": lambda job, element: str(job.told.get("warning", "")),
    "action_warning_time": lambda job, element: str(job.told.get("warning_minutes", "")),
    "output_file": lambda job, element: job.output or "",
    "error_file": lambda job, element: job.error or "",
    "sub_cwd": lambda job, element: job.directory,
    "exec_cwd": lambda job, element: job.directory,
}
