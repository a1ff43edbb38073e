"""Stand-ins in a folder of a test's own, used as a person uses them: by their commands and words."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from horovod_lb.rehearsal import faults
from horovod_lb.rehearsal.install import environment, install
from horovod_lb.rehearsal.site import Site

# A machine that others use too is slow; nothing waits so long where all is well.
PATIENCE = 300.0


class Cluster:
    """A played cluster and a folder to work in."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.folder = folder / "site"
        self.work = folder / "work"
        self.work.mkdir()
        self.bin = install(self.folder, site)
        self.environment = environment(self.folder)
        self.environment.pop("HLB_RUNS", None)

    def run(
        self, *argv: str | Path, stdin: str | None = None, extra: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A command at the login node."""
        return subprocess.run(
            [str(word) for word in argv],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            cwd=self.work,
            env={**self.environment, **(extra or {})},
            check=False,
            timeout=PATIENCE,
        )

    def said(self, *argv: str | Path, **options: Any) -> str:
        """The output of a command that must succeed."""
        done = self.run(*argv, **options)
        assert done.returncode == 0, (argv, done.stdout, done.stderr)
        return done.stdout

    def script(self, body: str, *directives: str, name: str = "job.sh") -> Path:
        """A bash script with these lines at its head."""
        path = self.work / name
        path.write_text("\n".join(["#!/bin/bash", *directives, body, ""]))
        path.chmod(0o755)
        return path

    def read(self, name: str) -> str:
        """A file in the working folder; empty where there is none yet."""
        path = self.work / name
        return path.read_text() if path.exists() else ""

    def wait(self, condition: Callable[[], Any], what: str = "") -> Any:
        """The first value of `condition` that is true."""
        end = time.monotonic() + PATIENCE
        while not (found := condition()):
            log = (self.folder / "dispatcher.log").read_text()
            assert time.monotonic() < end, f"in vain: {what}\n{log}"
            time.sleep(0.05)
        return found

    def end(self) -> None:
        """Kills what is left."""
        faults.stop(self.folder)


class LsfCluster(Cluster):
    """With LSF's words."""

    def bsub(self, *argv: str | Path, **options: Any) -> int:
        """Submits and returns the id."""
        said = self.said("bsub", *argv, **options)
        return int(said.rsplit("Job <", 1)[1].split(">")[0])

    def jobs(
        self, *ids: int | str, fields: str = "jobid jobindex stat exit_code exit_reason pend_reason"
    ) -> Any:
        """Records of `bjobs`."""
        words = map(str, ids) if ids else ["-a"]
        done = self.run("bjobs", "-o", fields, "-json", *words)
        return json.loads(done.stdout)["RECORDS"]

    def states(self, job: int) -> list[str]:
        """STAT of each element."""
        return [record["STAT"] for record in self.jobs(job)]

    def over(self, job: int) -> list[str]:
        """The same, once all of them are over."""

        def ended() -> list[str]:
            states = self.states(job)
            return states if set(states) <= {"DONE", "EXIT"} else []

        return list(self.wait(ended, f"job {job} over"))


def lines(text: str) -> list[str]:
    """Without empty ones."""
    return [line for line in text.splitlines() if line.strip()]


def alive(pids: Sequence[int]) -> list[int]:
    """Those processes that are there, and no zombies."""
    found = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            continue
        if state not in "ZX":
            found.append(pid)
    return found


def own_processes(folder: Path) -> list[int]:
    """Processes that have the stand-ins' folder in their environment."""
    mark = f"HLB_REHEARSAL={folder}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if mark in data.split(b"\0") and int(path.parent.name) != os.getpid():
            found.append(int(path.parent.name))
    return alive(found)
