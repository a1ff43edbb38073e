"""kill -9 on every rank at some moment; started again, the run ends as if nothing had been."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from points import JOB, spec
from rank_launch import environment, launch

from horovod_lb.runs import RunDirectory, State

TIMING = ("images_per_second", "seconds")
LONG = {"epochs": 12, "reference": {"learning_rate": 0.02, "batch_size": 60}}


def _start(ranks: int, run: Path) -> subprocess.Popen[str]:
    started = launch(ranks, [str(JOB), "--run", str(run)])
    return subprocess.Popen(
        started.argv,
        env=environment(started),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _rank_processes(parent: int) -> list[int]:
    """All processes below `parent`, from /proc."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found, waiting = [], [parent]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _final(run: RunDirectory) -> tuple[list[np.ndarray], list[dict[str, Any]]]:
    newest = sorted(run.checkpoints.glob("step-*.npz"))[-1]
    with np.load(newest) as file:
        values = [file[key] for key in file.files if key.startswith("v")]
    rows = [{k: v for k, v in row.items() if k not in TIMING} for row in run.read_metrics()]
    return values, rows


@pytest.mark.parametrize("ranks", [1, 2])
def test_killed_and_started_again(ranks: int, tmp_path: Path) -> None:
    whole = RunDirectory(tmp_path / "whole").create(spec("whole", **LONG))
    process = _start(ranks, whole.path)
    assert process.wait(300) == 0, process.stderr.read()[-3000:]
    assert whole.state() is State.COMPLETED

    killed = RunDirectory(tmp_path / "killed").create(spec("killed", **LONG))
    process = _start(ranks, killed.path)
    row = random.randint(2, 8)
    while len(killed.read_metrics()) < row:
        assert process.poll() is None, process.stderr.read()[-3000:]
        time.sleep(0.002)
    time.sleep(random.uniform(0, 0.05))
    for pid in [*_rank_processes(process.pid), process.pid]:
        os.kill(pid, signal.SIGKILL)
    process.wait(30)
    assert killed.read_exit() is None, "it was over before it could be killed: nothing is tested"
    # A killed process is there until the kernel has taken its memory back.
    deadline = time.monotonic() + 30
    while killed.state() is State.RUNNING and time.monotonic() < deadline:
        time.sleep(0.01)
    assert killed.state() is State.LOST

    process = _start(ranks, killed.path)
    assert process.wait(300) == 0, process.stderr.read()[-3000:]
    assert killed.state() is State.COMPLETED
    (values, rows), (expected, expected_rows) = _final(killed), _final(whole)
    assert all(np.array_equal(a, b) for a, b in zip(values, expected, strict=True))
    assert [row["epoch"] for row in rows] == list(range(1, 13))
    assert rows == expected_rows
