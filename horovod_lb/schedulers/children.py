"""Child processes that cannot outlive who started them: launchers with their ranks."""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

# A killed process that hangs in the kernel is not waited for any longer.
KILL_SECONDS = 5.0

# Where Open MPI 5's `mpirun` has its session directories.
_SESSION_DIRECTORIES = "PRTE_MCA_prte_local_tmpdir_base"
_PR_SET_PDEATHSIG = 1  # prctl(2), Linux


def start(argv: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Starts `argv` in a process session of its own, which no Ctrl-C reaches; its output goes to `log`.

    `environment` is added to this process' own. The child gets SIGTERM when this process ends, however that
    is. It ignores SIGUSR2 unless it wants it: some schedulers warn every process of a job.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            env={**own_session_directory(), **os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_prepare(),
        )


def own_session_directory() -> dict[str, str]:
    """The variable that gives one `mpirun` a temporary folder for its session which nobody has used before.

    Open MPI 5 names session directories by process id. A killed `mpirun` leaves its own behind, and one that
    gets the same process id later ends at once with status 213.
    """
    return {_SESSION_DIRECTORIES: tempfile.mkdtemp(dir=_temporary_folder(os.getpid()))}


@functools.cache
def _temporary_folder(process: int) -> str:
    """Removed when `process`, this one, ends; not by children that it forks."""
    folder = tempfile.mkdtemp(prefix="hlb-mpi-")

    def remove() -> None:
        if os.getpid() == process:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


def kill(child: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a child and all of its session: ranks have process groups of their own but share that."""
    child.kill()
    child.wait()
    patience = time.monotonic() + KILL_SECONDS
    while (members := _members(child.pid)) and time.monotonic() < patience:
        for pid in members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def end_with_parent(number: int) -> Callable[[], None] | None:
    """What a child calls before its program starts: it gets signal `number` when this process ends.

    The kernel does that on Linux; None elsewhere.
    """
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def _prepare() -> Callable[[], None]:
    ask = end_with_parent(signal.SIGTERM)

    def prepare() -> None:
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        if ask is not None:
            ask()

    return prepare


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
