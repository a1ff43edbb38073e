"""Execute one run on this rank; every rank calls it."""

from __future__ import annotations

import gc
import importlib.util
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import horovod.tensorflow as hvd
import keras
import numpy as np

from horovod_lb.data import prepare_reading
from horovod_lb.distributed import World, world
from horovod_lb.errors import DataError, RunDirectoryError, StudyError
from horovod_lb.runs import Life, RunDirectory
from horovod_lb.runs.log import log_to, rank_log
from horovod_lb.training.build import policy
from horovod_lb.training.loop import Result
from horovod_lb.training.provenance import record_provenance
from horovod_lb.training.run import Run
from horovod_lb.training.traces import timeline

Main = Callable[[Run], None]


def execute(run_dir: str | os.PathLike[str], main: Main | None = None) -> str:
    """Do the run of a folder and return its final state: `completed`, `stopped` or `diverged`.

    Rank 0 claims the run; every rank's output goes to the log of this life. A run that raises leaves `failed`
    in its exit record, and the exception goes on to the caller, who must end all ranks: the others may be
    waiting in a collective.

    Args:
        run_dir: a folder that `RunDirectory.create` made.
        main: the job; default: `main` of the script that `run.json` names.

    Raises:
        RunDirectoryError: on every rank, where another life of the run is alive.
    """
    here = world()
    directory = RunDirectory(run_dir)
    spec = directory.read_spec()
    life = _begin_life(directory, here)
    with log_to(rank_log(life.directory, here.rank)), _stop_on_signals(life):
        try:
            return _execute(spec, here, directory, life, main)
        except Exception as error:
            traceback.print_exc()
            _leave_failure(life, here.rank, error)
            raise


def _execute(
    spec: dict[str, Any], here: World, directory: RunDirectory, life: Life, main: Main | None
) -> str:
    _fresh_keras(spec)
    record_provenance(spec, here, life)
    _prepare_reading(spec, here)
    run = Run(spec, here, directory, life)
    with timeline(life):
        (main or load_main(Path(spec["job"]["path"])))(run)
    # A job that trains by itself, without run.fit, has completed when its main returns.
    result = run.result or Result("completed")
    if here.rank == 0:
        life.finish(result.state, outcome=result.outcome, reason=result.reason, **result.fields)
    return result.state


def _prepare_reading(spec: dict[str, Any], here: World) -> None:
    """Rank 0 looks through the data's files where that has to be done once; the others wait for it."""
    if here.rank == 0:
        with suppress(DataError, OSError):  # the job may not read this set; where it does, all ranks are told
            prepare_reading(spec["data"])
    hvd.broadcast(np.zeros(1, np.int64), root_rank=0, name="hlb.data")


def _begin_life(directory: RunDirectory, here: World) -> Life:
    """Rank 0 claims the run and tells the others the number of the life, or why there is none."""
    number, problem, life = 0, "", None
    if here.rank == 0:
        try:
            # A session may have claimed the run for this very process already.
            over = os.environ.get("HLB_SUPERSEDES", "")
            life = directory.begin_life(
                owner=os.environ.get("HLB_OWNER", "job script"),
                take_over=True,
                supersedes=int(over) if over else None,
            )
            number = life.number
        except RunDirectoryError as error:
            problem = str(error)
    number = int(hvd.broadcast(np.array([number], np.int64), root_rank=0, name="hlb.life").numpy()[0])
    if not number:
        raise RunDirectoryError(problem or f"{directory.path}: rank 0 could not claim the run")
    return life or Life(directory, number, directory.segments / str(number))


@contextmanager
def _stop_on_signals(life: Life) -> Iterator[None]:
    """For its time, SIGTERM (the scheduler ends the job) and SIGUSR2 (it soon will) ask the run to stop.

    A batch job's script is told as well; but some schedulers signal every process of a job.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        with suppress(OSError, RunDirectoryError):
            life.fence()
            life.run.request_stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGUSR2)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave_failure(life: Life, rank: int, error: Exception) -> None:
    text = f"{type(error).__name__}: {error}"
    try:
        life.finish("failed", reason=text.splitlines()[0], error=text, rank=rank)
    except (OSError, RunDirectoryError) as problem:
        print(f"the exit record could not be written: {problem}", file=sys.stderr)


def _fresh_keras(spec: dict[str, Any]) -> None:
    """Nothing of an earlier run of this process may show in the next one's result."""
    keras.backend.clear_session()
    gc.collect()
    keras.config.set_dtype_policy(policy(spec["recipe"]["precision"]))
    keras.utils.set_random_seed(int(spec["seed"]) % 2**32)


def load_main(path: Path) -> Main:
    """`main` of a job script, loaded from its file. Raises StudyError where there is none."""
    module_spec = importlib.util.spec_from_file_location(f"hlb_job_{path.stem}", path)
    if module_spec is None or module_spec.loader is None or not path.is_file():
        raise StudyError(f"job: {path} is not a Python script that can be read")
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    main = getattr(module, "main", None)
    if not callable(main):
        raise StudyError(f"job: {path} has no function main(run)")
    return main
