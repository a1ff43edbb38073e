from __future__ import annotations

import io
import sys
import time
from pathlib import Path

from horovod_lb.wheel import progress


def test_output_goes_to_the_log_and_the_end_is_told(tmp_path: Path) -> None:
    shown = io.StringIO()
    log = tmp_path / "logs" / "log"
    finished = progress.run(
        ["sh", "-c", "echo one; echo two >&2; exit 3"], label="Trying", log=log, out=shown
    )
    assert finished.code == 3
    assert sorted(finished.tail) == ["one", "two"]
    assert {"one", "two"} < set(log.read_text(encoding="utf-8").splitlines())
    assert shown.getvalue().startswith("Trying")
    assert shown.getvalue().endswith("failed\n")


def test_status_that_is_accepted_is_no_failure(tmp_path: Path) -> None:
    shown = io.StringIO()
    progress.run(["sh", "-c", "exit 1"], label="Trying", log=tmp_path / "log", out=shown, accept=(0, 1))
    assert shown.getvalue().endswith("done\n")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_seconds_and_the_latest_step(tmp_path: Path) -> None:
    shown = _Terminal()
    script = "echo WARNING: odd; sleep 0.6; echo '[ 45%] Building x.cc'; echo a remark; sleep 1"
    progress.run(["sh", "-c", script], label="Building", log=tmp_path / "log", out=shown)
    lines = shown.getvalue().split("\r")
    assert any("Building" in line and "1 s" in line and "[ 45%] Building x.cc" in line for line in lines)
    assert not any("WARNING" in line or "a remark" in line for line in lines)


def test_after_its_time_a_command_ends_with_all_it_started(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    child = f"import time; time.sleep(3); open({str(trace)!r}, 'w')"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    start = time.monotonic()
    finished = progress.run(
        [sys.executable, "-c", script], label="x", log=tmp_path / "log", timeout=0.5, out=io.StringIO()
    )
    assert finished.code != 0
    assert time.monotonic() - start < 3
    time.sleep(3.5)
    assert not trace.exists()
