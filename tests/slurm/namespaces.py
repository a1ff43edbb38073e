"""Machines made of namespaces: each has a network, a host name, process ids and mounts of its own.

A machine is one process that waits; all others enter it. When that process is killed the kernel ends
everything in it, its network cards included, as if somebody had pulled the plug.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from horovod_lb.runs.life import process_start

# Children that ended are reaped by the kernel, as pid 1 ignores their signal. The new name of the process
# says that the machine is up.
FIRST_PROCESS = """
hostname "$1" && mount --bind "$2" /etc/hosts && mount -t tmpfs tmpfs /dev/shm && mount -t tmpfs tmpfs "$3" &&
ip link set lo up && trap '' CHLD && exec sleep infinity
"""
UNSHARE = ("unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


class MachineError(Exception):
    """A machine does not start, or a command in it fails."""


class Machine:
    """One machine; `folder` remembers its process, so that another program finds it again."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._file = folder / f"{name}.machine"

    def start(self, hosts: Path, private: Path, log: Path) -> None:
        """Switches it on. `hosts` is its `/etc/hosts`; `private` a folder that it has for itself, empty."""
        argv = [*UNSHARE, "sh", "-c", FIRST_PROCESS, "first", self.name, str(hosts), str(private)]
        with log.open("ab") as output:
            holder = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + 20
        while (inside := _only_child(holder.pid)) is None or _command(inside) != "sleep":
            if holder.poll() is not None or time.monotonic() > deadline:
                raise MachineError(f"{self.name} does not start: {log.read_text(errors='replace').strip()}")
            time.sleep(0.01)
        pids = (holder.pid, inside)
        self._file.write_text(" ".join(f"{pid} {process_start(pid)}" for pid in pids))

    def _processes(self) -> list[int]:
        """The process that holds the machine and its first process, as the host counts; those that live."""
        try:
            words = [int(word) for word in self._file.read_text().split()]
        except FileNotFoundError:
            return []
        return [
            pid for pid, start in zip(words[::2], words[1::2], strict=True) if process_start(pid) == start
        ]

    @property
    def up(self) -> bool:
        """Whether it runs."""
        return len(self._processes()) == 2

    @property
    def pid(self) -> int:
        """The id of its first process, as the host counts."""
        if not self.up:
            raise MachineError(f"{self.name} is not up")
        return self._processes()[1]

    def pull_the_plug(self) -> None:
        """Ends it with every process in it."""
        for pid in self._processes():
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while self._processes():
            if time.monotonic() > deadline:
                raise MachineError(f"{self.name}: processes {self._processes()} do not end")
            time.sleep(0.02)
        self._file.unlink(missing_ok=True)

    def enter(self, *command: str, cwd: Path | None = None) -> list[str]:
        """`command` as it is started inside the machine."""
        inside = ["nsenter", f"--target={self.pid}", "--net", "--uts", "--mount", "--pid"]
        return [*inside, *([f"--wd={cwd}"] if cwd else []), *command]

    def run(self, *command: str, environment: Mapping[str, str] | None = None, timeout: float = 60) -> str:
        """Runs `command` in it and returns what it prints. MachineError: it failed."""
        return _run(self.enter(*command), environment, timeout)

    def connect(self, bridge: Machine, card: str, address: str) -> None:
        """Gives it a network card `eth0` with `address` (CIDR), plugged into the bridge `br0` of another."""
        wire = ("ip", "link", "add", card, "type", "veth", "peer", "name", "eth0", "netns", str(self.pid))
        # Entered without its mounts: /proc, where `ip` looks the process up, is the host's.
        _run(["nsenter", f"--net=/proc/{bridge.pid}/ns/net", *wire])
        bridge.run("ip", "link", "set", card, "master", "br0", "up")
        self.run("ip", "address", "add", address, "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")


def why_not() -> str | None:
    """Why machines cannot be made here; None where they can."""
    if os.geteuid() != 0:
        return "this needs root (namespaces and network bridges)"
    probe = [*UNSHARE, "sh", "-c", "hostname probe && ip link add br0 type bridge"]
    try:
        done = subprocess.run(probe, capture_output=True, text=True, timeout=20, check=False)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    reason = done.stderr.strip().replace("\n", "; ")
    return f"no namespaces or bridges here: {reason}" if done.returncode else None


def _run(argv: Sequence[str], environment: Mapping[str, str] | None = None, timeout: float = 60) -> str:
    done = subprocess.run(
        argv,
        env=None if environment is None else dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise MachineError(f"{' '.join(argv)} ends with {done.returncode}: {said}")
    return done.stdout


def _only_child(pid: int) -> int | None:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
