"""Starts jobs, watches them, and ends by itself once nothing is left to do.

Every command that changes the table calls `wake`; the first one to do so becomes a process of its own, whose
id is in `dispatcher.json`. SIGTERM, or the file `stop`, ends it and all jobs with it.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from horovod_lb.rehearsal import dependency, processes
from horovod_lb.rehearsal.life import Life, token
from horovod_lb.rehearsal.site import Site, read_site
from horovod_lb.rehearsal.table import DONE, FAILED, HELD, OVER, PENDING, RUNNING, Element, Job, Table

TICK_SECONDS = 0.1
# A clock that stands still is written down so often.
PAUSE_SECONDS = 1.0
# Between the lives of a job that requeued itself.
REQUEUE_SECONDS = 0.2

# A file in the folder that asks for the end of all jobs; gone once they have ended.
STOP = "stop"

Deliver = Callable[[Table, Job, Element], None]


class Living(Protocol):
    """One life of a job: `life.Life`, or one elsewhere. poll: None while it runs, else its exit status."""

    @property
    def pid(self) -> int | None: ...  # noqa: D102
    @property
    def cause(self) -> str: ...  # noqa: D102
    @property
    def paused(self) -> float: ...  # noqa: D102
    def poll(self) -> int | None: ...  # noqa: D102
    def end(self, cause: str, sequence: Sequence[tuple[str, float]]) -> None: ...  # noqa: D102
    def signal(self, name: str, *, group: bool) -> None: ...  # noqa: D102
    def hurry(self) -> None: ...  # noqa: D102
    def kill(self, cause: str) -> None: ...  # noqa: D102


Start = Callable[[Table, Job, Element], Living]


class Dispatcher:
    """`prepare` writes what a life needs (environment, host files), `deliver` puts its output in place."""

    def __init__(
        self, table: Table, site: Site, *, prepare: Deliver, deliver: Deliver, start: Start = Life
    ) -> None:
        self.table = table
        self.site = site
        self.lives: dict[tuple[int, int], Living] = {}
        self._prepare = prepare
        self._deliver = deliver
        self._start = start
        self._jobs: dict[int, Job] = {}

    def step(self) -> bool:
        """One look at the table; False where nothing is left that could ever change."""
        self._jobs = {job.id: job for job in self.table.jobs()}
        for job in self._jobs.values():
            changed = [self._look(job, element) for element in job.elements if element.state not in OVER]
            if any(changed):
                self.table.write(job)
        self._start_ready()
        return bool(self.lives) or any(
            element.state == PENDING and element.not_before > time.time()
            for job in self._jobs.values()
            for element in job.elements
        )

    def end(self) -> None:
        """Kills every job, and lets none start any more."""
        self._jobs = {job.id: job for job in self.table.jobs()}
        for job in self._jobs.values():
            for element in job.elements:
                if element.state in (PENDING, HELD):
                    element.state, element.cause, element.finish = FAILED, "owner", time.time()
            self.table.write(job)
        for life in self.lives.values():
            life.kill("owner")
        self.step()

    def _look(self, job: Job, element: Element) -> bool:
        life = self.lives.get((job.id, element.index))
        if life is None:
            return self._without_life(job, element)
        wished = bool(element.wish)
        if wished:
            self._grant(job, element.wish, life)
            element.wish = []
        status = life.poll()
        if status is None:
            moved = abs(life.paused - element.paused) > PAUSE_SECONDS
            element.paused = life.paused if moved else element.paused
            return wished or moved
        del self.lives[job.id, element.index]
        self._finish(job, element, status, life.cause)
        return True

    def _without_life(self, job: Job, element: Element) -> bool:
        """A job that waits, or one whose dispatcher died before it."""
        if element.state != RUNNING:
            return False
        if element.pid is not None:
            processes.kill_all(element.pid, token(self.table, job, element))
        self._finish(job, element, 137, "lost")
        return True

    @staticmethod
    def _grant(job: Job, wish: Sequence[str], life: Living) -> None:
        kind, *rest = wish
        if kind == "kill":
            life.end("owner", job.policy.on_kill)
        elif kind == "requeue":
            life.end("requeue", job.policy.on_requeue)
        elif kind == "fail":
            life.kill("node")
        elif kind == "hurry":
            life.hurry()
        elif kind == "signal":
            life.signal(rest[0], group=rest[1:] != ["shell"])

    def _finish(self, job: Job, element: Element, status: int, cause: str) -> None:
        now = time.time()
        asked = not cause and status in job.policy.requeue_codes
        again = asked or cause == "requeue" or (cause == "node" and job.policy.rerunnable)
        element.exit_code, element.finish, element.pid = status, now, None
        if again:
            element.earlier.append([cause or "requeue", element.start, now])
            element.state, element.hosts = PENDING, []
            element.cause = f"requeued {status}" if asked else "requeued"
            element.eligible = now
            element.not_before = now + max(REQUEUE_SECONDS, job.policy.delay * job.minute)
            return
        element.cause = cause
        element.state = DONE if status == 0 and not cause else FAILED
        self._deliver(self.table, job, element)

    def _start_ready(self) -> None:
        running = [
            element for job in self._jobs.values() for element in job.elements if element.state == RUNNING
        ]
        busy = {host for element in running for host in element.hosts}
        names = self.site.node_names()
        room = (self.site.jobs or sys.maxsize) - len(running)
        for job in self._jobs.values():
            if room <= 0:
                return
            begun = 0
            for element in self._ready(job)[:room]:
                hosts = _free(names, busy, job.nodes)
                if hosts is None:
                    break  # a smaller job behind it may go first, as with backfill
                busy.update(hosts)
                self._begin(job, element, hosts)
                begun += 1
            if begun:
                room -= begun
                self.table.write(job)

    def _ready(self, job: Job) -> list[Element]:
        now = time.time()
        waiting = [one for one in job.elements if one.state == PENDING and one.not_before <= now]
        if not waiting or not dependency.holds(job.after, job, self._jobs):
            return []
        if job.throttle is None:
            return waiting
        return waiting[: max(0, job.throttle - sum(one.state == RUNNING for one in job.elements))]

    def _begin(self, job: Job, element: Element, hosts: list[str]) -> None:
        element.hosts, element.life, element.start = hosts, element.life + 1, time.time()
        element.state, element.cause, element.exit_code, element.finish = RUNNING, "", None, None
        element.paused = 0.0
        self._prepare(self.table, job, element)
        life = self._start(self.table, job, element)
        self.lives[job.id, element.index] = life
        element.pid = life.pid


def _free(names: Sequence[str], busy: set[str], count: int) -> list[str] | None:
    found = []
    for name in names:
        if name not in busy:
            found.append(name)
            if len(found) == count:
                return found
    return None


def wake(folder: Path) -> None:
    """Makes sure that a dispatcher is at work."""
    with (folder / "dispatcher.log").open("ab") as log:
        subprocess.Popen(
            [
                sys.executable,
                "-E",
                "-S",
                str(Path(__file__).with_name("command.py")),
                "dispatcher",
                str(folder),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )


def main(arguments: Sequence[str]) -> int:
    """Dispatches the jobs of one folder, unless another process does."""
    folder = Path(arguments[0])
    lock = os.open(folder / "dispatcher.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    (folder / "dispatcher.json").write_text(json.dumps({"pid": os.getpid()}))
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    table = Table(folder)
    dispatcher = _dispatcher(table, read_site(folder))
    while True:
        with table.locked():
            try:
                stop += [0] if (folder / STOP).exists() else []
                if stop:
                    dispatcher.end()
                busy = dispatcher.step()
            except BaseException:
                traceback.print_exc()
                dispatcher.end()
                raise
            if not busy or stop:
                # A command that adds a job holds the table's lock, and wakes the next dispatcher afterwards.
                if stop:
                    (folder / STOP).unlink(missing_ok=True)
                else:
                    (folder / "dispatcher.json").unlink()
                os.close(lock)
                return 0
        time.sleep(TICK_SECONDS)


def _dispatcher(table: Table, site: Site) -> Dispatcher:
    if site.system == "slurm":
        from horovod_lb.rehearsal.slurm import batch as slurm

        return Dispatcher(table, site, prepare=slurm.prepare, deliver=slurm.deliver, start=Life)
    from horovod_lb.rehearsal.lsf import batch as lsf

    return Dispatcher(table, site, prepare=lsf.prepare, deliver=lsf.deliver, start=lsf.start(site))
