"""A warm session of ranks: TensorFlow is imported once, then the listed runs are trained one after the other.

    mpirun -n K python -m horovod_lb.training.session --runs FILE [--sweep DIR]

Rank 0 takes the next run and tells the others over MPI; all train it together. A run that raises, on
whichever rank, is recorded as failed, and the whole session ends with it: after a crash the ranks' state is
not to be trusted. Whoever started the session starts another one for what is left.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from horovod_lb.errors import HlbError, RunDirectoryError
from horovod_lb.runs import Claims, RunDirectory, State, rank_log
from horovod_lb.runs.life import describe_this_process

Execute = Callable[[Path], str]


class Queue:
    """The runs of a session, as rank 0 sees them.

    With a `sweep` folder, sessions side by side share the list through its `claims/`, and a file `stop` there
    ends the session before the next run.
    """

    def __init__(
        self,
        runs: Sequence[Path],
        *,
        sweep: Path | None = None,
        name: str = "session",
        retry_failed: bool = False,
    ) -> None:
        self.runs = list(runs)
        self._next = 0
        self._stop = sweep / "stop" if sweep else None
        self._claims = Claims(sweep / "claims") if sweep else None
        self._name = name
        self._retry_failed = retry_failed

    def take(self) -> int | None:
        """The index of the next run to train; None when nothing is left or the sweep stops."""
        while self._next < len(self.runs):
            if self._stop is not None and self._stop.exists():
                return None
            index = self._next
            self._next += 1
            needed = self._needed(RunDirectory(self.runs[index]).state())
            owner = self._name if needed else Claims.SKIPPED
            mine = self._claims is None or self._claims.take(self.runs[index].name, owner)
            if needed and mine:
                return index
        return None

    def skip(self, index: int) -> None:
        """Gives back a run that another life turned out to own."""
        if self._claims is not None:
            self._claims.skip(self.runs[index].name)

    def _needed(self, state: State) -> bool:
        if state in (State.FAILED, State.CANCELLED):
            return self._retry_failed
        return not state.has_result and state is not State.RUNNING


def work(comm: Any, queue: Queue, execute: Execute) -> None:
    """Trains the runs of `queue` on all ranks of the mpi4py communicator `comm`; collective."""
    owner = comm.bcast(describe_this_process() if comm.rank == 0 else None)
    while (index := comm.bcast(queue.take() if comm.rank == 0 else None)) is not None:
        run = queue.runs[index]
        try:
            state = execute(run)
        except BaseException as error:
            # Refused: on every rank, because another sweep was quicker. Everything else is a crash.
            if isinstance(error, RunDirectoryError) and not _owned_by(owner, RunDirectory(run)):
                if comm.rank == 0:
                    queue.skip(index)
                    print(error, flush=True)
                continue
            record_crash(RunDirectory(run), error, comm.rank)
            raise
        states = comm.gather(str(state))
        if comm.rank == 0:
            print(f"{run.name} {' '.join(sorted(set(states)))}", flush=True)


def _owned_by(process: Mapping[str, Any], run: RunDirectory) -> bool:
    """Whether the newest life of `run` is one that `process` began."""
    return run.life_record().items() >= process.items()


def record_crash(run: RunDirectory, error: BaseException, rank: int) -> None:
    """Writes the traceback to the rank's log of this life and the failure to the run's exit record."""
    known = isinstance(error, HlbError)
    text = f"{error}\n" if known else "".join(traceback.format_exception(error))
    message = str(error) if known else traceback.format_exception_only(error)[-1].strip()
    print(f"{run.path.name}, rank {rank}: {text}", end="", file=sys.stderr, flush=True)
    segment = run.newest_segment()
    if segment is not None and run.state() is State.RUNNING:
        with rank_log(segment, rank).open("a") as log:
            log.write(text)
    try:
        run.record_failure(f"{message} (rank {rank})" if rank else message)
    except RunDirectoryError as refused:
        # Another rank was first.
        print(refused, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None, execute: Execute | None = None) -> None:
    """The session of this rank; `execute` defaults to the one of `horovod_lb.training.worker`."""
    parser = argparse.ArgumentParser(prog="horovod_lb.training.session", description=__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="file with a run directory a line")
    parser.add_argument("--sweep", type=Path, help="folder that the sessions of a sweep share")
    parser.add_argument("--retry-failed", action="store_true", help="train runs that failed, too")
    options = parser.parse_args(arguments)
    faulthandler.enable()
    _end_with_parent()

    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    try:
        if execute is None:
            from horovod_lb.training import worker

            execute = worker.execute
        runs = [Path(line) for line in options.runs.read_text().splitlines() if line]
        name = options.runs.stem
        work(comm, Queue(runs, sweep=options.sweep, name=name, retry_failed=options.retry_failed), execute)
    except BaseException as error:
        if not isinstance(error, HlbError):
            traceback.print_exception(error)
        sys.stdout.flush()
        sys.stderr.flush()
        # The other ranks wait in a collective that this one will never reach.
        comm.Abort(1)


def _end_with_parent(seconds: float = 1.0) -> None:
    """Ends this rank when its launcher is gone: a killed `mpirun` leaves its ranks behind."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(seconds)
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()


if __name__ == "__main__":
    main()
