"""`bpeek`: what a running job has printed so far."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from horovod_lb.rehearsal.lsf.table import NoJob, pick
from horovod_lb.rehearsal.options import Option, OptionError, words
from horovod_lb.rehearsal.site import here, read_site
from horovod_lb.rehearsal.table import RUNNING, Table, remembered


def main(arguments: Sequence[str]) -> int:
    """Exit status 0, or 255 where there is no such job that runs."""
    folder = here()
    try:
        options, ids = words(arguments, {"-f": Option("follow")})
    except OptionError as error:
        print(f"bpeek: illegal option: {error}", file=sys.stderr)
        return 255
    table = Table(folder)
    jobs = remembered(table.jobs(), read_site(folder).clean_minutes)
    found = pick(jobs, ids[:1])
    if not found or isinstance(found[0], NoJob):
        print(f"Job <{''.join(ids[:1])}> is not found", file=sys.stderr)
        return 255
    job, element = found[0]
    if element.state != RUNNING:
        print(f"Job <{job.label(element)}> : Not yet started or already finished.", file=sys.stderr)
        return 255
    print("<< output from stdout >>")
    with (table.spool(job.id) / f"{element.index}.out").open("rb") as out:
        while True:
            sys.stdout.buffer.write(out.read())
            sys.stdout.flush()
            again = table.job(job.id)
            now = again.element(element.index) if again else None
            if not options.get("follow") or now is None or now.state != RUNNING:
                return 0
            time.sleep(0.2)
