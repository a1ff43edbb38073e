"""Runs a rendered job script with bash, a program of the test's in the place of the job's Python."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from horovod_lb.schedulers.render import render
from horovod_lb.schedulers.types import JobRequest

JOB = {
    "slurm": {"SLURM_JOB_ID": "123"},
    "lsf": {"LSB_JOBID": "123", "LSB_JOBINDEX": "0"},
    "none": {},
}
ELEMENT = {
    "slurm": {"SLURM_JOB_ID": "130", "SLURM_ARRAY_JOB_ID": "123", "SLURM_ARRAY_TASK_ID": "4"},
    "lsf": {"LSB_JOBID": "123", "LSB_JOBINDEX": "4"},
}
# Tells what it was given: words and variables, each ended by a zero byte.
TELLS = """#!/bin/bash
printf '%s\\0' "$@" > "$PLAYED/words"
env -0 > "$PLAYED/variables"
exit "${STATUS:-0}"
"""
# Works until the stop file is there, as the task does.
UNTIL_STOPPED = """#!/bin/bash
while [[ $1 != --stop ]]; do shift; done
touch "$PLAYED/began"
while [[ ! -e $2 ]]; do sleep 0.02; done
sleep "${SAVING:-0}"
exit 85
"""
SCONTROL = """#!/bin/bash
[[ $1 == show ]] && exec echo "JobId=123 Restarts=${RESTARTS:-0} BatchFlag=1"
echo "$@" >> "$PLAYED/scontrol"
exit "${REFUSED:-0}"
"""


class Played:
    """A folder with the programs, a script in it, and what came of it. `python` is the program's path."""

    def __init__(self, folder: Path, program: str = TELLS) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        self.python = self.bin / "python"
        for path, text in ((self.python, program), (self.bin / "scontrol", SCONTROL)):
            path.write_text(text)
            path.chmod(0o755)

    def start(self, request: JobRequest, environ: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """The script under way, in a process group of its own, its output on a pipe."""
        script = self.folder / "script"
        script.write_text(render(request))
        known = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "PLAYED": str(self.folder),
        }
        where = ELEMENT if request.array else JOB
        known |= {**where[request.machine.scheduler], **(environ or {})}
        return subprocess.Popen(
            ["bash", str(script)],
            env=known,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, request: JobRequest, environ: Mapping[str, str] | None = None) -> tuple[int, str]:
        """The script's exit status and output."""
        process = self.start(request, environ)
        output = process.communicate(timeout=60)[0]
        return process.returncode, output

    def warned(
        self,
        request: JobRequest,
        *signals: signal.Signals,
        group: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        """As `run`, with signals sent to the shell, or to all processes, once the task is at work."""
        process = self.start(request, environ)
        deadline = time.monotonic() + 30
        while not (self.folder / "began").exists():
            assert time.monotonic() < deadline, "the task did not begin"
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.02)
        for number in signals:
            (os.killpg if group else os.kill)(process.pid, number)
            time.sleep(0.1)
        output = process.communicate(timeout=60)[0]
        return process.returncode, output

    def words(self) -> list[str]:
        """The words that the program was given."""
        return (self.folder / "words").read_text().split("\0")[:-1]

    def variables(self) -> dict[str, str]:
        """Its environment."""
        pairs = (self.folder / "variables").read_bytes().decode().split("\0")[:-1]
        return dict(pair.split("=", 1) for pair in pairs)
