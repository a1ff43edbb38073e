"""`bjobs`: tables, chosen fields, JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from horovod_lb.rehearsal.faults import answer
from horovod_lb.rehearsal.lsf import fields
from horovod_lb.rehearsal.lsf.table import STATES, NoJob, One, malformed, moment, named, pending_reason, pick
from horovod_lb.rehearsal.options import Option, OptionError, text, words
from horovod_lb.rehearsal.site import here, read_site
from horovod_lb.rehearsal.table import DONE, FAILED, HELD, OVER, PENDING, RUNNING, Job, Table, remembered

_OPTIONS = {
    "-a": Option("all"),
    "-d": Option("done"),
    "-p": Option("pending"),
    "-r": Option("running"),
    "-s": Option("suspended"),
    "-w": Option("wide"),
    "-X": Option("uncondensed"),
    "-A": Option("arrays"),
    "-sum": Option("sum"),
    "-json": Option("json"),
    "-noheader": Option("noheader"),
    "-o": Option("format", fields.parse),
    "-J": Option("name", text),
    "-P": Option("project", text),
    "-q": Option("queue", text),
    "-u": Option("user", text),
}
_USAGE = (
    "Usage: bjobs [-a] [-d] [-p] [-r] [-s] [-w] [-X] [-A] [-sum] [-json] [-noheader] [-o format] "
    "[-J name] [-P project] [-q queue] [-u user | -u all] [job_id | job_id[index] ...]"
)
_HEADER = ("JOBID", "USER", "STAT", "QUEUE", "FROM_HOST", "EXEC_HOST", "JOB_NAME", "SUBMIT_TIME")
_WIDTHS = (7, 7, 5, 10, 11, 11, 10, 12)


def main(arguments: Sequence[str]) -> int:
    """Exit status 0; 255 for a wrong command line and where a job is not found."""
    folder = here()
    if (status := answer(folder, "bjobs")) is not None:
        return status
    try:
        options, ids = words(arguments, _OPTIONS)
        if "json" in options and "format" not in options:
            raise OptionError("bad", "-json", "without -o")
        if "json" in options and "noheader" in options:
            raise OptionError("bad", "-json", "with -noheader")
    except OptionError as error:
        what = "invalid option --" if error.kind == "unknown" else "bad argument for option"
        print(f"bjobs: {what} '{error.option.lstrip('-')}' {error.value}\n{_USAGE}", file=sys.stderr)
        return 255
    if (wrong := malformed(ids)) is not None:
        print(wrong, file=sys.stderr)
        return 255
    table = Table(folder)
    jobs = remembered(table.jobs(), read_site(folder).clean_minutes)
    return _answer(options, ids, jobs)


def _answer(options: dict[str, Any], ids: Sequence[str], jobs: Sequence[Job]) -> int:
    found = pick(jobs, ids) if ids else list(_named(options, jobs))
    ones = [one for one in found if not isinstance(one, NoJob) and _wanted(options, one, bool(ids))]
    missing = [f"Job <{one}> is not found" for one in found if isinstance(one, NoJob)]
    if not ids and "name" in options and not ones:
        missing = [f"Job <{options['name']}> is not found"]
    if "json" in options:
        print(fields.as_json(options["format"], ones, [one for one in found if isinstance(one, NoJob)]))
        return 255 if missing else 0
    for line in missing:
        print(line, file=sys.stderr)
    if not ones:
        if not missing:
            print("No job found" if options.get("all") else "No unfinished job found", file=sys.stderr)
        return 255
    _show(options, ones)
    return 255 if missing else 0


def _show(options: dict[str, Any], ones: Sequence[One]) -> None:
    if "format" in options:
        lines = fields.as_lines(options["format"], ones, header="noheader" not in options)
    elif "sum" in options:
        lines = _sums(ones)
    elif "arrays" in options:
        lines = _arrays(ones)
    else:
        lines = _table(
            ones, header="noheader" not in options, wide="wide" in options, why="pending" in options
        )
    print("\n".join(lines))


def _named(options: dict[str, Any], jobs: Sequence[Job]) -> list[One]:
    return named(jobs, options.get("name", "*"))


def _wanted(options: dict[str, Any], one: One, by_id: bool) -> bool:
    job, element = one
    for key, value in (("project", job.account), ("queue", job.queue)):
        if key in options and options[key] != value:
            return False
    if options.get("user", "all") not in ("all", job.user):
        return False
    kinds: dict[str, Callable[[], bool]] = {
        "done": lambda: element.state in OVER,
        "pending": lambda: element.state == PENDING,
        "running": lambda: element.state == RUNNING,
        "suspended": lambda: element.state == HELD,
    }
    asked = [test for key, test in kinds.items() if key in options]
    if asked:
        return any(test() for test in asked)
    return by_id or bool(options.get("all")) or element.state not in OVER


def _table(ones: Sequence[One], *, header: bool, wide: bool, why: bool) -> list[str]:
    lines = [_row(_HEADER)] if header else []
    for job, element in ones:
        name = job.name + (f"[{element.index}]" if job.array else "")
        hosts = ":".join(element.hosts) or "-" if wide else (element.hosts or [""])[0]
        if not wide and len(name) > 10:
            name = f"*{name[-9:]}"
        start = moment(job.submitted)
        lines.append(
            _row((str(job.id), job.user, STATES[element.state], job.queue, "login", hosts, name, start))
        )
        if why and element.state == PENDING:
            lines.append(f" {pending_reason(element, job)}")
    return lines


def _row(cells: Sequence[str]) -> str:
    return " ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()


def _counts(ones: Sequence[One]) -> dict[str, int]:
    return {state: sum(element.state == state for _, element in ones) for state in STATES}


def _sums(ones: Sequence[One]) -> list[str]:
    number = _counts(ones)
    cells = (number[RUNNING], 0, number[HELD], 0, number[PENDING], 0)
    titles = ("RUN", "SSUSP", "USUSP", "UNKNOWN", "PEND", "FWD_PEND")
    return [
        "  ".join(title.ljust(9) for title in titles).rstrip(),
        "  ".join(str(cell).ljust(9) for cell in cells).rstrip(),
    ]


def _arrays(ones: Sequence[One]) -> list[str]:
    lines = ["JOBID    ARRAY_SPEC  OWNER   NJOBS PEND DONE  RUN EXIT SSUSP USUSP PSUSP"]
    for job in {job.id: job for job, _ in ones if job.array}.values():
        number = _counts([(job, element) for element in job.elements])
        cells = (
            len(job.elements),
            number[PENDING],
            number[DONE],
            number[RUNNING],
            number[FAILED],
            0,
            0,
            number[HELD],
        )
        lines.append(
            f"{job.id:<8} {job.name + str(job.array):<11} {job.user:<7} "
            + " ".join(f"{cell:5}" for cell in cells)
        )
    return lines
