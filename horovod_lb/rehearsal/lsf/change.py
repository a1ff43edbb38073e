"""What bkill and brequeue share: which jobs, one after the other, under the table's lock."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from horovod_lb.rehearsal import dispatcher
from horovod_lb.rehearsal.faults import answer
from horovod_lb.rehearsal.lsf.table import NoJob, One, malformed, named, pick
from horovod_lb.rehearsal.options import Spec, words
from horovod_lb.rehearsal.site import here, read_site
from horovod_lb.rehearsal.table import OVER, Table, remembered


class NotPossible(Exception):
    """The text that tells why."""


def read(arguments: Sequence[str], spec: Spec) -> tuple[dict[str, Any], list[str]]:
    """Options and ids; OptionError."""
    return words(arguments, spec)


def now() -> float:
    """The time."""
    return time.time()


def each(options: dict[str, Any], ids: Sequence[str], act: Callable[[One], str]) -> int:
    """Calls `act` for every job that is meant, prints what it says, and wakes the dispatcher."""
    folder = here()
    if (status := answer(folder, "bkill")) is not None:
        return status
    if (wrong := malformed(ids)) is not None:
        print(wrong, file=sys.stderr)
        return 255
    table = Table(folder)
    status = 0
    with table.locked():
        jobs = remembered(table.jobs(), read_site(folder).clean_minutes)
        found: list[One | NoJob] = list(pick(jobs, ids))
        if not ids:
            found = [one for one in named(jobs, options["name"]) if one[1].state not in OVER]
            found = found or [NoJob(options["name"])]
        changed = {}
        for one in found:
            if isinstance(one, NoJob):
                print(f"Job <{one}>: No matching job found", file=sys.stderr)
                status = 255
                continue
            try:
                print(act(one))
                changed[one[0].id] = one[0]
            except NotPossible as error:
                print(error, file=sys.stderr)
                status = 255
        for job in changed.values():
            table.write(job)
    dispatcher.wake(folder)
    return status
