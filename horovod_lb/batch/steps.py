"""A run as one launcher step of a batch job: started in the background, watched, and judged by its files."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from horovod_lb.errors import RequestError
from horovod_lb.runs import RunDirectory, State, error_line
from horovod_lb.runs.life import TASK_VARIABLE
from horovod_lb.schedulers import children
from horovod_lb.schedulers.hosts import Slot

# A launcher that dies because a node did is followed by the end of the job: so long nothing is concluded.
PATIENCE_SECONDS = 10.0
CUT_OFF = "cut off"
OWN_VARIABLES = (TASK_VARIABLE, "HLB_OWNER", "HLB_SUPERSEDES", "CUDA_VISIBLE_DEVICES")
_PASSES_BY_NAME = ("mpirun", "mpiexec", "prterun", "orterun")


@dataclass(frozen=True)
class Place:
    """What the steps of a task share: the launcher's words, the task's token, where logs go."""

    launcher: tuple[str, ...]
    token: str
    owner: str
    logs: Path


class Step:
    """A launcher with the ranks of one run."""

    def __init__(
        self, run: RunDirectory, spec: Mapping[str, Any], place: Place, slot: Slot | None, over: int | None
    ) -> None:
        self.run = run
        self.slot = slot
        self.log = place.logs / f"{run.path.name}.log"
        self._task = place.token
        self._life = run.life_number()
        self._progress = progress(run)
        self._ended: float | None = None
        self._asked = False
        environment = {TASK_VARIABLE: place.token, "HLB_OWNER": place.owner}
        if over is not None:
            environment["HLB_SUPERSEDES"] = str(over)
        if slot is not None and slot.gpus is not None:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, slot.gpus))
        python = os.environ.get("HLB_PYTHON") or sys.executable  # a container has its own
        program = [python, spec["job"]["path"], "--run", os.fspath(run.path)]
        argv = [*_with_slot(place.launcher, slot, environment), *program]
        try:
            self._process = children.start(argv, environment, self.log)
        except OSError as error:
            raise RequestError(
                f"{argv[0]} cannot be started: {error.strerror}; see the job's modules"
            ) from None

    def ask_to_stop(self) -> None:
        """Leaves the STOP file, once: the ranks agree on a step, save a checkpoint and leave."""
        if not self._asked:
            self._asked = True
            self.run.request_stop()

    def over(self, *, stopping: bool) -> bool:
        """Whether it has ended and can be judged."""
        if self._process.poll() is None:
            return False
        self._ended = self._ended or time.monotonic()
        return stopping or self._recorded() or time.monotonic() - self._ended > PATIENCE_SECONDS

    def judge(self, *, stopping: bool) -> State:
        """The run's state now that the step is over: `lost` where it was cut off and may go on.

        A step that ended without an exit record may have lost its node, or memory: its run goes on in the
        job's next life. The second time without progress it is recorded as failed; a step that never began
        the training is so at once.
        """
        children.kill(self._process)  # ranks that outlived their launcher
        if self._recorded():
            return self.run.state()
        if stopping:
            return State.CANCELLED if self.run.cancel_requested() else State.LOST
        status = self._process.returncode
        if self.run.life_number() == self._life:
            return self._fail(f"the launcher ended with status {status} before the training began")
        if self._cut_off_before():
            # srun ends with 0 when Slurm takes its node for dead, as does a job script that keeps no record.
            what = (
                f"the launcher ended with status {status}" if status else "the job script left no exit record"
            )
            return self._fail(f"{what}, twice without progress")
        self.run.record_event(CUT_OFF, status=status, progress=progress(self.run))
        return State.LOST

    def kill(self) -> None:
        """Ends it at once."""
        children.kill(self._process)

    def _recorded(self) -> bool:
        return self.run.life_number() > self._life and self.run.read_exit() is not None

    def _fail(self, what: str) -> State:
        if self.run.state() is State.RUNNING and self.run.life_record().get("task") != self._task:
            return State.RUNNING  # another life took it
        segment = self.run.newest_segment() if self.run.life_number() > self._life else None
        said = (error_line(segment / "log") if segment else None) or error_line(self.log)
        self.run.record_failure(f"{what}: {said}" if said else what)
        return self.run.state()

    def _cut_off_before(self) -> bool:
        """Whether the life before was cut off as well, and this one came no further."""
        before = [event for event in self.run.read_events() if event.get("kind") == CUT_OFF]
        return bool(before) and before[-1].get("progress") == progress(self.run) == self._progress


def progress(run: RunDirectory) -> str | None:
    """The name of the newest checkpoint; None when there is none."""
    return max((path.name for path in run.checkpoints.glob("step-*.npz")), default=None)


def _with_slot(launcher: Sequence[str], slot: Slot | None, environment: Mapping[str, str]) -> list[str]:
    """The launcher with its hosts filled in; Open MPI passes on to other hosts only what it is told to."""
    words = [word.replace("{hosts}", slot.hosts) if slot else word for word in launcher]
    if Path(words[0]).name not in _PASSES_BY_NAME:
        return words
    names = [word for name in OWN_VARIABLES if name in environment for word in ("-x", name)]
    return [shutil.which(words[0]) or words[0], *names, *words[1:]]
