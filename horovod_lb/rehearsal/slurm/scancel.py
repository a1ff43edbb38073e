"""`scancel`: ends jobs, or sends them a signal; silent about what is over or unknown."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from horovod_lb.rehearsal import dispatcher
from horovod_lb.rehearsal.faults import answer
from horovod_lb.rehearsal.options import Option, OptionError, getopt, text
from horovod_lb.rehearsal.site import here
from horovod_lb.rehearsal.slurm.table import pick
from horovod_lb.rehearsal.table import FAILED, OVER, RUNNING, Element, Table

_OPTIONS = {
    **dict.fromkeys(("-s", "--signal"), Option("signal", text)),
    **dict.fromkeys(("-b", "--batch"), Option("batch")),
    **dict.fromkeys(("-f", "--full"), Option("full")),
    **dict.fromkeys(("-n", "--name"), Option("name", text)),
    **dict.fromkeys(("-v", "--verbose"), Option("verbose")),
}


def main(arguments: Sequence[str]) -> int:
    """Exit status 0, or 1 for a wrong command line."""
    folder = here()
    if (status := answer(folder, "scancel")) is not None:
        return 1 if status else 0
    try:
        options, words = getopt(arguments, _OPTIONS)
        if not words and "name" not in options:
            raise OptionError("missing", "job id")
    except OptionError as error:
        print(f"scancel: error: {error}", file=sys.stderr)
        return 1
    table = Table(folder)
    with table.locked():
        jobs = table.jobs()
        words += [str(job.id) for job in jobs if job.name == options.get("name")]
        changed = {}
        for one in pick(jobs, words):
            if isinstance(one, str) or one[1].state in OVER:
                if options.get("verbose"):
                    print(
                        f"scancel: error: Kill job error on job id {one}: already completed", file=sys.stderr
                    )
                continue
            _cancel(one[1], options.get("signal"), batch=bool(options.get("batch")))
            changed[one[0].id] = one[0]
        for job in changed.values():
            table.write(job)
    dispatcher.wake(folder)
    return 0


def _cancel(element: Element, signal: str | None, *, batch: bool) -> None:
    name = (signal or "").removeprefix("SIG")
    if name and name != "KILL":
        if element.state == RUNNING:
            element.wish = ["signal", name, *(["shell"] if batch else [])]
    elif element.state == RUNNING:
        element.wish = ["kill"]
    else:
        element.state, element.cause, element.finish = FAILED, "owner", time.time()
