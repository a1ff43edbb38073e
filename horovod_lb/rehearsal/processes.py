"""Processes of a job's life."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

VARIABLE = "HLB_REHEARSAL_LIFE"

_PR_SET_PDEATHSIG = 1  # prctl(2), Linux


def members(session: int, token: str) -> list[int]:
    """The living processes of a life: its process session, and whoever has `token` in the environment.

    A launcher may put its ranks into a session of their own. Without /proc only the session is found.
    """
    if not Path("/proc/self/stat").exists():
        listing = subprocess.run(["ps", "-axo", "pid=,sess="], capture_output=True, text=True, check=False)
        rows = [line.split() for line in listing.stdout.splitlines()]
        return [int(row[0]) for row in rows if len(row) == 2 and row[1] == str(session)]
    mark = f"{VARIABLE}={token}\0".encode()
    names = [entry.name for entry in os.scandir("/proc") if entry.name.isdecimal()]
    return [int(name) for name in names if _belongs(Path("/proc") / name, session, mark)]


def _belongs(process: Path, session: int, mark: bytes) -> bool:
    try:
        text = (process / "stat").read_bytes()
        # The command's name, field 2, may hold spaces and parentheses.
        state, _, _, member_of, *_ = text[text.rindex(b")") + 2 :].split()
        if state in (b"Z", b"X"):
            return False
        return int(member_of) == session or mark in (process / "environ").read_bytes()
    except OSError:
        return False


def kill_all(session: int, token: str, patience: float = 5.0) -> None:
    """SIGKILL to every process of a life, until none is left."""
    end = time.monotonic() + patience
    while (found := members(session, token)) and time.monotonic() < end:
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def send(pid: int, name: str, *, group: bool) -> None:
    """Signal `name` (without SIG) to a process, or to all of its process group."""
    number = getattr(signal, f"SIG{name}")
    with suppress(ProcessLookupError, PermissionError):
        (os.killpg if group else os.kill)(pid, number)


def started(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        if Path("/proc/self/stat").exists():
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, 0)
            return True
        return False
    return text[text.rindex(b")") + 2 :].split()[0] not in (b"Z", b"X")


def ends_with_parent() -> Callable[[], None] | None:
    """For `preexec_fn`: the kernel sends the new process SIGTERM when its parent ends (Linux)."""
    if sys.platform != "linux":
        return None
    parent, prctl = os.getpid(), ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask
