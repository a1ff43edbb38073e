"""`sacct`: the accounts of jobs, those that squeue has forgotten too."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from horovod_lb.rehearsal.faults import answer
from horovod_lb.rehearsal.options import Option, OptionError, getopt, text
from horovod_lb.rehearsal.site import here
from horovod_lb.rehearsal.slurm.table import compressed, label, pick, span, state
from horovod_lb.rehearsal.table import OVER, Element, Job, Table

_Value = Callable[[Job, Element], str]


def _exit_code(job: Job, element: Element) -> str:
    """`status:signal`; the accounts drop the top bit of a status."""
    status = element.exit_code or 0
    if element.state not in OVER or state(element) in ("TIMEOUT", "CANCELLED", "NODE_FAIL"):
        return "0:0"
    return f"{status & 127}:0"


def _moment(seconds: float | None) -> str:
    return "Unknown" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds))


_FIELDS: dict[str, tuple[str, _Value]] = {
    name.lower(): (name, value)
    for name, value in {
        "JobID": label,
        "JobIDRaw": lambda job, element: str(job.id),
        "JobName": lambda job, element: job.name,
        "Partition": lambda job, element: job.queue,
        "Account": lambda job, element: job.account,
        "State": lambda job, element: state(element) + (" by 0" if state(element) == "CANCELLED" else ""),
        "ExitCode": _exit_code,
        "Elapsed": lambda job, element: span(job.seconds_run(element)),
        "NNodes": lambda job, element: str(job.nodes),
        "NodeList": lambda job, element: compressed(element.hosts) or "None assigned",
        "Start": lambda job, element: _moment(element.start),
        "End": lambda job, element: _moment(element.finish if element.state in OVER else None),
    }.items()
}
_OPTIONS = {
    **dict.fromkeys(("-X", "--allocations"), Option("allocations")),
    **dict.fromkeys(("-n", "--noheader"), Option("noheader")),
    **dict.fromkeys(("-P", "--parsable2"), Option("parsable")),
    **dict.fromkeys(("-D", "--duplicates"), Option("duplicates")),
    **dict.fromkeys(("-o", "--format"), Option("format", text)),
    **dict.fromkeys(("-j", "--jobs"), Option("jobs", text)),
    **dict.fromkeys(("-S", "--starttime"), Option("start", text)),
}


def main(arguments: Sequence[str]) -> int:
    """Exit status 0; 1 for a wrong command line. Of steps it knows nothing, so `-X` is needed."""
    folder = here()
    if (status := answer(folder, "sacct")) is not None:
        return 1 if status else 0
    try:
        options, rest = getopt(arguments, _OPTIONS)
        names = options.get("format", "JobID,JobName,Partition,Account,State,ExitCode").lower().split(",")
        wrong = [name for name in names if name not in _FIELDS]
        if rest or wrong or not {"allocations", "parsable"} <= options.keys():
            raise OptionError("unknown", (rest or wrong or ["-X and -P are needed"])[0])
    except OptionError as error:
        print(f"sacct: error: Invalid field or option requested: {error}", file=sys.stderr)
        return 1
    if "noheader" not in options:
        print("|".join(_FIELDS[name][0] for name in names))
    jobs = Table(folder).jobs()
    words = options["jobs"].split(",") if "jobs" in options else [str(job.id) for job in jobs]
    for one in pick(jobs, words):
        if not isinstance(one, str):
            print("|".join(_FIELDS[name][1](*one) for name in names))
    return 0
