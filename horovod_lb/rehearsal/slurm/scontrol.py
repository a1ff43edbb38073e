"""`scontrol`: requeue, show hostnames, show job."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from horovod_lb.rehearsal import dispatcher
from horovod_lb.rehearsal.faults import answer
from horovod_lb.rehearsal.site import here
from horovod_lb.rehearsal.slurm.table import compressed, expanded, label, pick, reason, state
from horovod_lb.rehearsal.table import OVER, PENDING, RUNNING, Element, Job, Table


def main(arguments: Sequence[str]) -> int:
    """Exit status 0, or 1 where something is wrong."""
    folder = here()
    if (status := answer(folder, "scontrol")) is not None:
        return 1 if status else 0
    match list(arguments):
        case ["requeue", *words] if words:
            return _requeue([part for word in words for part in word.split(",")])
        case ["show", "hostnames" | "hostname", *names] if len(names) < 2:
            print("\n".join(expanded(names[0] if names else os.environ.get("SLURM_JOB_NODELIST", ""))))
            return 0
        case ["show", "job", word]:
            return _show(word)
    print(f"invalid keyword: {' '.join(arguments)}", file=sys.stderr)
    return 1


def _requeue(words: Sequence[str]) -> int:
    folder = here()
    table = Table(folder)
    status = 0
    with table.locked():
        for one in pick(table.jobs(), words):
            if isinstance(one, str) or not _again(one[1], one[0]):
                print("Requested operation is presently disabled for job", file=sys.stderr)
                status = 1
                continue
            table.write(one[0])
    dispatcher.wake(folder)
    return status


def _again(element: Element, job: Job) -> bool:
    """Puts it back into the queue; False where that is not allowed (--no-requeue, or it waits anyway)."""
    if not job.policy.rerunnable:
        return False
    if element.state == RUNNING:
        element.wish = ["requeue"]
    elif element.state in OVER:
        element.earlier.append([element.cause or "done", element.start, element.finish])
        element.state, element.cause, element.hosts = PENDING, "requeued", []
        element.not_before = time.time() + job.policy.delay * job.minute
    else:
        return False
    return True


def _show(word: str) -> int:
    for one in pick(Table(here()).jobs(), [word]):
        if isinstance(one, str):
            print("slurm_load_jobs error: Invalid job id specified", file=sys.stderr)
            return 1
        job, element = one
        print(f"JobId={label(job, element)} JobName={job.name}")
        print(f"   JobState={state(element)} Reason={reason(job, element)}")
        again, restarts = int(job.policy.rerunnable), max(0, element.life - 1)
        print(f"   Requeue={again} Restarts={restarts} ExitCode={element.exit_code or 0}:0")
        print(f"   NodeList={compressed(element.hosts) or '(null)'} NumNodes={job.nodes}")
    return 0
