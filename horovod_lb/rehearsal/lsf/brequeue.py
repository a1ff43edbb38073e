"""`brequeue`: jobs go back into the queue under the same id and start over."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from horovod_lb.rehearsal.lsf import change
from horovod_lb.rehearsal.lsf.table import One
from horovod_lb.rehearsal.options import Option, OptionError, text
from horovod_lb.rehearsal.table import DONE, FAILED, OVER, PENDING, RUNNING

_OPTIONS = {
    "-J": Option("name", text),
    "-d": Option("done"),
    "-e": Option("exited"),
    "-r": Option("running"),
    "-a": Option("all"),
}


def main(arguments: Sequence[str]) -> int:
    """Exit status 0, or 255 where a job is not there or in no state for it; running jobs by default."""
    try:
        options, ids = change.read(arguments, _OPTIONS)
    except OptionError as error:
        print(f"brequeue: illegal option or argument: {error}", file=sys.stderr)
        return 255
    if not ids and "name" not in options:
        print("brequeue: Job ID required", file=sys.stderr)
        return 255
    states = {RUNNING} if options.get("running") or not options.keys() & {"done", "exited"} else set()
    states |= {DONE} if options.get("done") or options.get("all") else set()
    states |= {FAILED} if options.get("exited") or options.get("all") else set()

    def act(one: One) -> str:
        job, element = one
        label = job.label(element)
        if element.state not in states:
            raise change.NotPossible(f"Job <{label}>: Job is not in a state that can be requeued")
        if element.state == RUNNING:
            element.wish = ["requeue"]
        elif element.state in OVER:
            element.earlier.append([element.cause or "done", element.start, element.finish])
            element.state, element.cause, element.exit_code = PENDING, "requeued", None
            element.eligible = change.now()
        return f"Job <{label}> is being requeued"

    return change.each(options, ids, act)
