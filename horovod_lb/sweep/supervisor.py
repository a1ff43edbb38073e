"""The sweep: gives a study's runs to sessions of ranks, restarts what crashed, stops on Ctrl-C."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from horovod_lb.errors import HlbError
from horovod_lb.runs import RunDirectory, State
from horovod_lb.schedulers.hosts import Host
from horovod_lb.sweep import abandoned
from horovod_lb.sweep.arrangement import Batch, arrange
from horovod_lb.sweep.deadline import stopping_time
from horovod_lb.sweep.display import Display, display
from horovod_lb.sweep.interrupts import Interrupts
from horovod_lb.sweep.ledger import Ledger
from horovod_lb.sweep.machine import cores
from horovod_lb.sweep.nodes import probe
from horovod_lb.sweep.places import Hosts, Place, ThisMachine
from horovod_lb.sweep.process import SESSION, Session

TICK_SECONDS = 0.2
# From SIGTERM to SIGKILL, once somebody has asked twice.
GRACE_SECONDS = 5.0

INTERRUPTED = 130


def run_sweep(
    study: str,
    specs: Sequence[Mapping[str, Any]],
    runs_root: Path,
    *,
    workers: int | None = None,
    threads: int | None = None,
    isolated: bool = False,
    retry_failed: bool = False,
    max_failures: int | None = None,
    hosts: Sequence[Host] | None = None,
    seconds: float | None = None,
    environment: Mapping[str, str] | None = None,
    command: Sequence[str] = SESSION,
    show: Display | None = None,
) -> int:
    """Trains the runs of a study that are not finished, and returns the exit code.

    Several sweeps over one folder share the work: a run is claimed by `RunDirectory.begin_life`.

    Args:
        study: its name; the runs are in `runs_root/study/<run_id>/`.
        specs: the content of `run.json` of every run; folders that are missing are made.
        runs_root: see `runs.runs_root`.
        workers: ranks a run; default: see `arrangement.ranks_of`.
        threads: threads a rank; default: an equal share of the cores.
        isolated: a fresh `mpirun` for every run instead of sessions that train many.
        retry_failed: train failed and cancelled runs again, from their last checkpoint.
        max_failures: stop after so many failed runs.
        hosts: where the ranks run; default: this machine.
        seconds: how long the sweep may take; it stops its runs with checkpoints a while before.
        environment: further variables for the ranks, see `runs.traces`.
        command: the program of a session's ranks.
        show: where progress goes; default: standard output.

    Returns:
        0 when no run failed, 1 when some did or are still unfinished, 130 when it was interrupted.

    Raises:
        RequestError: `workers` does not divide the groups of a run, the hosts do not hold it, no `mpirun`.
        HlbError: a host cannot be reached, the sessions cannot start.
    """
    stop_at = None if seconds is None else stopping_time(seconds)
    lender = ThisMachine(cores()) if hosts is None else Hosts(probe(hosts))
    batches = arrange(specs, lender, workers=workers, threads=threads)
    folder = runs_root / study
    runs = {spec["run_id"]: RunDirectory(folder / spec["run_id"]).create(spec) for spec in specs}
    sweep = _sweep_folder(folder)
    with show or display() as shown, Interrupts() as interrupts:
        ledger = Ledger(runs, {spec["run_id"]: spec for spec in specs}, sweep / "claims", shown, retry_failed)
        options = ["--retry-failed"] if retry_failed else []
        start = partial(Session, sweep=sweep, command=[*command, *options], environment=environment or {})
        supervisor = _Supervisor(sweep, ledger, interrupts, shown, start, isolated, max_failures, stop_at)
        if isinstance(lender, Hosts):
            shown.line(str(lender))
        if stop_at is not None:
            shown.line(time.strftime("runs stop with checkpoints at %H:%M:%S", time.localtime(stop_at)))
        ledger.announce(batches)
        for batch in batches:
            supervisor.work(batch)
    code = ledger.conclude(interrupted=bool(interrupts.count))
    return INTERRUPTED if interrupts.count else code


def _sweep_folder(study: Path) -> Path:
    """A new folder under `sessions/` for the lists, logs and claims of one sweep, named by the time."""
    name = time.strftime("%Y%m%d-%H%M%S")
    for number in itertools.count(1):
        sweep = study / abandoned.FOLDER / (name if number == 1 else f"{name}-{number}")
        with suppress(FileExistsError):
            sweep.mkdir(parents=True)
            break
    abandoned.sign(sweep)
    return sweep


class _Supervisor:
    """Keeps a session going in every place of a batch until none of its runs is left."""

    def __init__(
        self,
        sweep: Path,
        ledger: Ledger,
        interrupts: Interrupts,
        show: Display,
        start: Callable[..., Session],
        isolated: bool,
        max_failures: int | None,
        stop_at: float | None,
    ) -> None:
        self._sweep = sweep
        self._ledger = ledger
        self._interrupts = interrupts
        self._show = show
        self._new_session = start
        self._isolated = isolated
        self._max_failures = max_failures
        self._stop_at = stop_at
        self._free: list[Place] = []
        self._sessions: list[Session] = []
        self._started = 0
        self._assigned: set[str] = set()
        self._stopping = False
        self._killed_at: float | None = None

    def work(self, batch: Batch) -> None:
        """Trains the runs of `batch`; returns when they are done, or stopped."""
        self._free = list(batch.places)
        try:
            while self._running(batch):
                self._ledger.update(batch, len(self._sessions))
                time.sleep(TICK_SECONDS)
        except BaseException:
            for session in self._sessions:
                session.kill()
            raise

    def _running(self, batch: Batch) -> bool:
        """One look at everything: buries sessions that ended, starts new ones; False when all is over."""
        self._stop_if_asked()
        for session in [session for session in self._sessions if session.status() is not None]:
            self._sessions.remove(session)
            self._bury(session)
        waiting = self._ledger.waiting(batch)
        if self._isolated:  # a run is waiting until its session has started and taken it
            waiting = [run_id for run_id in waiting if run_id not in self._assigned]
            fit = len(waiting)
        else:
            fit = len(waiting) - len(self._sessions)
        for run_id in waiting[: 0 if self._stopping else max(0, min(fit, len(self._free)))]:
            self._start(batch, [run_id] if self._isolated else waiting)
        return bool(self._sessions)

    def _start(self, batch: Batch, run_ids: Sequence[str]) -> None:
        self._assigned.update(run_ids)
        runs = [self._ledger.runs[run_id].path for run_id in run_ids]
        self._started += 1
        name = f"session-{self._started}"
        self._sessions.append(self._new_session(name, runs=runs, batch=batch, place=self._free.pop(0)))

    def _bury(self, session: Session) -> None:
        """Settles what a session left that ended; the runs it had not taken go to the next one."""
        session.kill()  # ranks that outlived their mpirun
        self._ledger.collect()
        if session.ended_on_request:
            self._ledger.release(session)
            return
        self._ledger.record_crash(session)
        if self._stopping or session.runs[0].name in self._ledger.taken():
            self._free.append(session.place)
        elif self._sessions or self._free:
            self._show.line(f"no session can start on {session.place}: {session.cause_of_death()}")
        else:
            raise HlbError(
                f"a session of ranks could not start: {session.cause_of_death()}\nIts log: {session.log}"
            )

    def _stop_if_asked(self) -> None:
        failures = self._ledger.failures
        if not self._stopping and self._max_failures is not None and failures >= self._max_failures:
            self._show.line(f"{failures} failed: stopping, as --max-failures asks")
            self._begin_stop()
        if not self._stopping and self._stop_at is not None and time.time() >= self._stop_at:
            self._show.line("the time is almost up: stopping, every run writes a checkpoint first")
            self._begin_stop()
        if not self._stopping and self._interrupts.count:
            self._show.line("stopping: every run writes a checkpoint first (Ctrl-C again ends them at once)")
            self._begin_stop()
        if not self._stopping:
            return
        if self._interrupts.count < 2:
            self._stop_gently()
        elif self._killed_at is None:
            self._show.line("ending the ranks")
            self._killed_at = time.monotonic()
            for session in self._sessions:
                session.terminate()
        elif time.monotonic() - self._killed_at > GRACE_SECONDS:
            for session in self._sessions:
                session.kill()

    def _begin_stop(self) -> None:
        self._stopping = True
        (self._sweep / "stop").touch()

    def _stop_gently(self) -> None:
        """Asks the runs that train now to stop; a session that trains none yet can end right away."""
        for session in self._sessions:
            active = self._ledger.active(session.name)
            for run in active:
                if not run.stop_requested() and run.state() is State.RUNNING:
                    run.request_stop()
            if session.runs[0].name not in self._ledger.taken():
                session.terminate()
