"""`bkill`: ends jobs (INT, TERM, KILL), or sends them a signal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from horovod_lb.rehearsal.lsf import change
from horovod_lb.rehearsal.lsf.grammar import signal_name
from horovod_lb.rehearsal.lsf.table import One
from horovod_lb.rehearsal.options import Option, OptionError, text
from horovod_lb.rehearsal.table import FAILED, OVER, RUNNING

_OPTIONS = {
    "-s": Option("signal", signal_name),
    "-J": Option("name", text),
    "-q": Option("queue", text),
    "-u": Option("user", text),
}
_ENDING = ("KILL", "TERM", "INT")


def main(arguments: Sequence[str]) -> int:
    """Exit status 0, or 255 where a job is not there or over."""
    try:
        options, ids = change.read(arguments, _OPTIONS)
    except OptionError as error:
        print(f"bkill: illegal option or argument: {error}", file=sys.stderr)
        return 255
    if not ids and "name" not in options:
        print("bkill: Job ID required", file=sys.stderr)
        return 255
    if "0" in ids:
        print("bkill: job ID 0 means every job of the user; the stand-in refuses it", file=sys.stderr)
        return 255
    name = options.get("signal")

    def act(one: One) -> str:
        job, element = one
        label = job.label(element)
        if element.state in OVER:
            raise change.NotPossible(f"Job <{label}>: Job has already finished")
        if name is not None and name not in _ENDING:
            if element.state == RUNNING:
                element.wish = ["signal", name]
            return f"Job <{label}> is being signaled"
        if element.state == RUNNING:
            element.wish = ["kill"]
        else:
            element.state, element.cause, element.finish = FAILED, "owner", change.now()
        return f"Job <{label}> is being terminated"

    return change.each(options, ids, act)
