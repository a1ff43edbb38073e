"""Sending what was written down, job by job, so that whatever happens nothing is sent twice.

The record says before a job is sent that it will be (a link without an id), and at once after it which id it
got. Who dies in between leaves a link without an id; the next sender asks the scheduler for a job of that
name, which is unique.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

from horovod_lb.batch import client
from horovod_lb.batch.follow import Following, Sent
from horovod_lb.batch.submission import FILE, SENT, Link, Submission
from horovod_lb.errors import HlbError, SchedulerError
from horovod_lb.machines import Machine
from horovod_lb.schedulers import scheduler
from horovod_lb.schedulers.types import JobStatus

# What a sender had begun when it was killed has reached the scheduler by then, or never will: its command
# ends with it (`client.run`).
SETTLE_SECONDS = 3.0

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InterruptedSendError(HlbError):
    """Somebody pressed Ctrl-C between two jobs."""

    exit_code = 130


def send(
    submission: Submission,
    *,
    refresh: Callable[[], None] = lambda: None,
    progress: Callable[[int], None] = lambda done: None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Submission:
    """Sends the links of `submission` that have no id, in order; returns it with their ids, written down.

    Args:
        refresh: called before each command; it raises when this process has lost the right to send.
        progress: gets the number of jobs sent.
        say: gets a sentence for people when a signal has come and a job is still being sent.

    Raises:
        SchedulerError: a job was not accepted; those before it stay, nothing after it was sent.
        InterruptedSendError: a signal came; the job that was being sent is written down.
    """
    rules = scheduler(submission.scheduler)
    machine = Machine.model_validate(submission.profile)
    todo = submission.unsent
    with _noted_signals(say) as noted:
        for done, (job, link) in enumerate(todo):
            if noted():
                raise InterruptedSendError(f"interrupted; {_so_far(done, len(todo))}")
            refresh()
            about = submission.jobs[job]
            after = about.links[link - 1].job_id if link else None
            command = rules.submit(submission.folder / about.script, machine, after=after)
            try:
                job_id = rules.parse_submit(*client.run(command, machine))
            except SchedulerError as error:
                raise SchedulerError(f"{error}\n{_so_far(done, len(todo))}") from error
            submission = submission.with_link(job, link, Link(job_id, after))
            progress(done + 1)
    return submission


def settle(submissions: list[Submission]) -> None:
    """Where a sender may have died just now, waits until what it had begun shows at the scheduler."""
    for submission in submissions:
        if submission.unsent:
            files = (submission.folder / name for name in (FILE, SENT))
            written = max(path.stat().st_mtime for path in files if path.exists())
            if time.time() - written < client.TIMEOUT + SETTLE_SECONDS:
                time.sleep(SETTLE_SECONDS)
                return


def resolve(following: Following) -> list[Submission]:
    """Submissions whose sender died, made whole: jobs found by name get their ids, the others are dropped.

    `following` has asked the scheduler, and it has answered. Returns the submissions that were changed; they
    still have links to send where the first jobs of a chain wait or run, and the rest was never sent.
    """
    return [_resolved(one, following) for one in following.submissions if one.unsent]


def _resolved(submission: Submission, following: Following) -> Submission:
    for job, link in submission.unsent:
        sent = Sent(submission, submission.jobs[job], link, 0)
        ref = following.ref(sent)
        if ref is not None:
            before = submission.jobs[job].links[link - 1].job_id if link else None
            submission = submission.with_link(job, link, Link(ref.job_id, before))
    going_on = {
        number: job
        for number, job in enumerate(submission.jobs)
        if (known := [link for link in range(len(job.links)) if job.links[link].job_id])
        and _waits_or_runs(submission, number, known[-1], following)
    }
    dropped = submission.without_unsent()
    jobs = tuple(going_on.get(number, job) for number, job in enumerate(dropped.jobs))
    submission = replace(dropped, jobs=jobs)
    submission.write()
    return submission


def _waits_or_runs(submission: Submission, job: int, link: int, following: Following) -> bool:
    about = submission.jobs[job]
    positions = range(0, len(about.runs), about.pack)
    heard = (following.status(Sent(submission, about, link, position)) for position in positions)
    return any(isinstance(status, JobStatus) and not status.state.over for status in heard)


def _so_far(done: int, every: int) -> str:
    if not done:
        return "no job has an id; `hlb submit` again finds what arrived all the same, and sends the rest"
    return f"{done} of {every} jobs were sent and stay; `hlb submit` again sends the rest"


@contextmanager
def _noted_signals(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """For its time, signals that would end this process are noted; ignored ones stay ignored."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)
        say(f"interrupted; the job that is being sent is waited for (at most {client.TIMEOUT:g} s)")

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # signals are not this thread's business
        return
    before = {
        number: signal.signal(number, note)
        for number in _SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield lambda: bool(noted)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
