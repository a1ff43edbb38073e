from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from horovod_lb.runs import error_line, last_error_line, rank_log

SCRIPT = """
import os, sys
from pathlib import Path
from horovod_lb.runs import log_to
print("before")
before = len(os.listdir("/proc/self/fd"))
for number in range(300):
    with log_to(Path(sys.argv[1])):
        print("python", number)
        os.system(f"echo child {number}")
        print("error", number, file=sys.stderr)
try:
    with log_to(Path(sys.argv[1])):
        raise ValueError("out of the block")
except ValueError:
    print("after", len(os.listdir("/proc/self/fd")) - before)
"""


def test_output_of_python_and_of_child_processes_goes_to_the_log_and_back(tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = subprocess.run([sys.executable, "-c", SCRIPT, log], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["before", "after", "0"], "no descriptor is left open"
    assert done.stderr == ""
    lines = log.read_text().splitlines()
    assert len(lines) == 900
    assert [line for line in lines if line.startswith("child")] == [
        f"child {number}" for number in range(300)
    ]
    for number in (0, 299):
        assert {f"python {number}", f"error {number}"} <= set(lines)


def test_every_rank_has_a_log_of_its_own(tmp_path: Path) -> None:
    assert [rank_log(tmp_path, rank).name for rank in (0, 1, 12)] == ["log", "log.1", "log.12"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Traceback:\n  File x\nValueError: the rate is purple\n", "ValueError: the rate is purple"),
        ("ValueError: one\nhorovod_lb.errors.DataError: two\nbye\n", "horovod_lb.errors.DataError: two"),
        ("rank 1 with PID 7 exited on\nsignal 9 (Killed).\n-----\n", "signal 9 (Killed)."),
        (
            "loss 0.5\nFatal Python error: Segmentation fault\n\nStack:\n",
            "Fatal Python error: Segmentation fault",
        ),
        (
            # Seen on Slurm 22.05.
            "Traceback (most recent call last):\nTypeError: no\n"
            "srun: error: node1: task 1: Exited with exit code 1\n"
            "slurmstepd-node1: error: *** STEP 79.0 ON node1 CANCELLED AT 2026-11-21T12:05:07 ***\n"
            "srun: error: node1: tasks 0,2-5: Terminated\nsrun: Force Terminated StepId=79.0\n",
            "TypeError: no",
        ),
        (
            "slurmstepd-node1: error: execve(): apptainer: No such file or directory\n"
            "srun: error: node1: tasks 0-1: Exited with exit code 2\n",
            "slurmstepd-node1: error: execve(): apptainer: No such file or directory",
        ),
        (
            "OldError: of an earlier life\n" + 150 * "epoch\n" + "srun: error: n1: task 0: Terminated\n",
            "srun: error: n1: task 0: Terminated",
        ),
        (
            "ValueError: x\n"
            "slurmstepd: error: *** STEP 8.0 ON n1 CANCELLED AT 2026-11-21T12:05:07 DUE TO TIME LIMIT ***\n",
            "slurmstepd: error: *** STEP 8.0 ON n1 CANCELLED AT 2026-11-21T12:05:07 DUE TO TIME LIMIT ***",
        ),
        ("\x1b[31mValueError: \x1b[1mred\x1b[0m\x07\n", "ValueError: red"),
        ("epoch 1\n\n  epoch 2  \n\n", None),
        ("", None),
    ],
)
def test_the_line_that_says_what_went_wrong_is_found(tmp_path: Path, text: str, line: str | None) -> None:
    log = tmp_path / "log"
    log.write_text(text)
    assert error_line(log) == line
    assert last_error_line(log) == (line or (text.split("\n")[2].strip() if text else None))


def test_of_a_long_log_only_the_end_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("OldError: long ago\n" + "x" * 100_000 + "\nthe end\n")
    assert error_line(log) is None
    assert last_error_line(log) == "the end"
    assert last_error_line(tmp_path / "missing") is None
