"""One session of ranks as a process: `mpirun`, its log, its end."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from horovod_lb.runs import error_line
from horovod_lb.runs.life import JOB_VARIABLE, TASK_VARIABLE
from horovod_lb.schedulers import children
from horovod_lb.schedulers.launchers import find_mpirun, mpirun
from horovod_lb.sweep.arrangement import Batch
from horovod_lb.sweep.nodes import launch_environment
from horovod_lb.sweep.places import Place

SESSION = (sys.executable, "-m", "horovod_lb.training.session")


class Session:
    """`mpirun` with the ranks of one session, in a process session of its own: a Ctrl-C does not reach it."""

    def __init__(
        self,
        name: str,
        *,
        sweep: Path,
        runs: Sequence[Path],
        batch: Batch,
        place: Place,
        command: Sequence[str] = SESSION,
        environment: Mapping[str, str],
    ) -> None:
        self.name = name
        self.place = place
        # The lives of its runs bear it: once the session is dead they are, too, on whichever host.
        self.task = f"{sweep.name}/{name}"
        self.runs = tuple(runs)
        self.ended_on_request = False
        self.log = sweep / f"{name}.log"
        listing = sweep / f"{name}.txt"
        listing.write_text("".join(f"{run}\n" for run in runs))
        launch = mpirun(
            batch.workers,
            [*command, "--runs", str(listing), "--sweep", str(sweep)],
            threads=batch.threads,
            allreduce=batch.allreduce,
            hosts=place.hosts,
            environment={
                **(launch_environment(os.environ) if place.hosts else {}),
                "PYTHONUNBUFFERED": "1",
                "HLB_OWNER": f"hlb run, {name}",
                "HLB_COMMAND": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
                TASK_VARIABLE: self.task,
                JOB_VARIABLE: "",  # sessions side by side are no lives of one job, one after the other
                **environment,
                **place.environment,
            },
            program=find_mpirun(),
            as_root=os.geteuid() == 0,
        )
        self._process = children.start(launch.argv, launch.environment, self.log)

    @property
    def pid(self) -> int:
        """The process id of `mpirun`, which is its process session, too."""
        return self._process.pid

    def status(self) -> int | None:
        """None while it runs, else its exit status (negative: the signal that ended it)."""
        return self._process.poll()

    def cause_of_death(self) -> str:
        """What its log says of its end, else its exit status."""
        return error_line(self.log) or f"mpirun ended with status {self._process.returncode}"

    def terminate(self) -> None:
        """SIGTERM: `mpirun` ends its ranks and itself."""
        self.ended_on_request = True
        if self.status() is None:
            self._process.terminate()

    def kill(self) -> None:
        """SIGKILL to `mpirun` and its ranks on this host; those on others end with their connection to it."""
        children.kill(self._process)
