"""One session of ranks as a process: `mpirun`, its log, its end."""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from horovod_lb.runs import error_line
from horovod_lb.schedulers.launchers import find_mpirun, mpirun
from horovod_lb.sweep.arrangement import Batch

SESSION = (sys.executable, "-m", "horovod_lb.training.session")

# A killed process that hangs in the kernel is not waited for any longer.
KILL_SECONDS = 5.0

_PR_SET_PDEATHSIG = 1  # prctl(2), Linux


class Session:
    """`mpirun` with the ranks of one session, in a process session of its own: a Ctrl-C does not reach it."""

    def __init__(
        self,
        name: str,
        *,
        sweep: Path,
        runs: Sequence[Path],
        batch: Batch,
        command: Sequence[str] = SESSION,
    ) -> None:
        self.name = name
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
            environment={
                "PYTHONUNBUFFERED": "1",
                "HLB_OWNER": f"hlb run, {name}",
                "HLB_COMMAND": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            },
            program=find_mpirun(),
            as_root=os.geteuid() == 0,
        )
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                launch.argv,
                env={**os.environ, **launch.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with(os.getpid()) if sys.platform == "linux" else None,
            )

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
        """SIGKILL to `mpirun` and all ranks, which have process groups of their own but share its session."""
        self._process.kill()
        self._process.wait()
        patience = time.monotonic() + KILL_SECONDS
        while (members := _members(self.pid)) and time.monotonic() < patience:
            for pid in members:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


def _end_with(parent: int) -> Callable[[], None]:
    """For the new process: ask the kernel for SIGTERM when its parent ends, however that ends."""
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def _members(session: int) -> list[int]:
    """The living processes of a process session (Linux; elsewhere none)."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text(errors="replace")
        except OSError:
            continue
        state, _, _, member_of, *_ = text[text.rindex(")") + 2 :].split()
        if int(member_of) == session and state != "Z":
            members.append(int(stat.parent.name))
    return members
