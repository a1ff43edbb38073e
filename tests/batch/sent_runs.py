"""Runs that were sent to a batch system whose commands are stand-ins: executables that answer from files."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from horovod_lb.batch.submission import Job, Link, Submission, new_folder
from horovod_lb.runs import RunDirectory
from horovod_lb.runs.life import describe_this_process

LONG_AGO = 3600.0

PROGRAM = """#!/bin/sh
me="$0"
printf '%s\\n' "$*" >> "$me.calls"
[ -f "$me.hook" ] && sh "$me.hook"
[ -f "$me.hang" ] && exec sleep "$(cat "$me.hang")"
[ -f "$me.out" ] && cat "$me.out"
[ -f "$me.err" ] && cat "$me.err" >&2
exit "$(cat "$me.status" 2>/dev/null || echo 0)"
"""


class StandIns:
    """Commands of a scheduler in a folder of their own; they count their calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in ("squeue", "sacct", "scancel", "sbatch", "bjobs", "bkill", "bsub"):
            (folder / name).write_text(PROGRAM)
            (folder / name).chmod(0o755)

    def answer(self, name: str, out: str = "", err: str = "", status: int = 0) -> None:
        """What the command `name` prints and exits with from now on."""
        self._set(name, "out", out)
        self._set(name, "err", err)
        self._set(name, "status", str(status))

    def hang(self, name: str, seconds: float) -> None:
        """It answers no more."""
        self._set(name, "hang", str(seconds))

    def hook(self, name: str, script: str) -> None:
        """A shell script that runs before the answer."""
        self._set(name, "hook", script)

    def remove(self, name: str) -> None:
        """There is no such command any more."""
        (self.folder / name).unlink()

    def calls(self, name: str) -> list[str]:
        """The argument lists that the command was called with."""
        path = self.folder / f"{name}.calls"
        return path.read_text().splitlines() if path.exists() else []

    def environment(self) -> dict[str, str]:
        """An environment in which these commands are found before any real ones."""
        return {**os.environ, "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}"}

    def _set(self, name: str, what: str, text: str) -> None:
        (self.folder / f"{name}.{what}").write_text(text)


def queue(*lines: str) -> str:
    """squeue's answer: `job state reason` a line, with seconds left and a node where it runs."""
    text = ""
    for line in lines:
        job, state, *rest = line.split(None, 2)
        reason, name = [*rest[0].split("@"), ""][:2] if rest else ("None", "")
        running = state == "RUNNING"
        left, node = ("1:30:00", "node[1-2]") if running else ("2:00:00", "")
        text += f"{job}|{state}|{reason or 'None'}|{left}|{node}|{name}\n"
    return text


def make_run(study: Path, run_id: str, batch_size: int = 64, seed: int = 0) -> RunDirectory:
    """A planned run."""
    spec: dict[str, Any] = {
        "schema": 1,
        "run_id": run_id,
        "study": study.name,
        "point": {"recipe.batch_size": batch_size},
        "seed": seed,
        "recipe": {"batch_size": batch_size},
        "derived": {"workers": 2},
    }
    return RunDirectory(study / run_id).create(spec)


def submit(
    study: Path,
    *jobs: tuple[Sequence[str], Sequence[str | None]] | Job,
    scheduler: str = "slurm",
    age: float = LONG_AGO,
    pack: int = 1,
    array: tuple[int, int] | None = None,
    max_failures: int | None = None,
) -> Submission:
    """Writes a submission of `age` seconds ago; a job is its runs and the ids of its links."""
    folder, token = new_folder(study)
    made = [
        job if isinstance(job, Job) else _job(study, token, number, job, pack, array)
        for number, job in enumerate(jobs)
    ]
    submission = Submission(
        folder=folder,
        token=token,
        time=time.time() - age,
        user="somebody",
        host="login1",
        scheduler=scheduler,
        profile={"name": "somewhere", "scheduler": scheduler},
        command="hlb submit study.yaml",
        retry=False,
        max_failures=max_failures,
        source=None,
        jobs=tuple(made),
    )
    submission.write()
    os.utime(folder / "submission.json", (submission.time, submission.time))
    return submission


def _job(
    study: Path,
    token: str,
    number: int,
    about: tuple[Sequence[str], Sequence[str | None]],
    pack: int,
    array: tuple[int, int] | None,
) -> Job:
    runs, ids = about
    return Job(
        name=f"{study.name}-{token}-{number}",
        script=f"{number}.sh",
        listing=f"{number}.txt",
        runs=tuple(runs),
        pack=pack,
        array=array,
        nodes=1,
        minutes=120,
        links=tuple(Link(job_id) for job_id in ids),
    )


def live(
    run: RunDirectory, job: str | None, *, sign: float = 5.0, here: bool = False, number: int = 1
) -> Path:
    """A life that began `sign` + 60 seconds ago and last showed a sign `sign` seconds ago."""
    record = {**describe_this_process(), "life": number, "time": time.time() - sign - 60, "job": job}
    if not here:
        record.update(host="node1", place="node1 another-boot pid:[1]", pid=17)
    segment = run.segments / str(number)
    segment.mkdir(parents=True)
    (segment / "life.json").write_text(json.dumps(record))
    beat = {"time": time.time() - sign, "life": number, "host": record["host"], "pid": record["pid"]}
    run.heartbeat_json.write_text(json.dumps({**beat, "epoch": 2, "epochs": 5, "accuracy": 0.5}))
    return segment


def end(run: RunDirectory, state: str, *, ago: float = 30.0, life: int = 1, **fields: Any) -> None:
    """An exit record of `ago` seconds ago."""
    record = {"state": state, "life": life, "time": time.time() - ago, **fields}
    run.exit_json.write_text(json.dumps(record))
