from __future__ import annotations

import io
import json
import os
import pty
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from horovod_lb.runs import RunDirectory, State
from horovod_lb.runs.summary import Summary, duration, label
from horovod_lb.sweep import display
from horovod_lb.sweep.display import Live, Plain


def summary(epoch: int, **changes: Any) -> Summary:
    fields = {
        "epoch": epoch,
        "epochs": 30,
        "accuracy": 0.5,
        "images_per_second": 1234.0,
        "seconds_left": 187.0,
    }
    return Summary("0123456789ab", {"recipe.batch_size": 64}, 1, State.RUNNING, **{**fields, **changes})


def test_short_epochs_are_not_a_flood_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(display.time, "monotonic", lambda: now)
    out = io.StringIO()
    plain = Plain(out)
    for tick in range(1, 201):  # 20 seconds, an epoch every 0.2 s
        now = 100.0 + tick / 10
        plain.update([summary(tick // 2)], "1 of 2")
    lines = out.getvalue().splitlines()
    assert 2 <= len(lines) <= 4
    assert all(line.startswith("01234567  batch_size=64 seed=1  epoch ") for line in lines)
    assert lines[0].endswith("/30  accuracy 0.5000  1,234 images/s  3:07 left  1 of 2")


def test_an_epoch_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(display.time, "monotonic", lambda: now)
    out = io.StringIO()
    plain = Plain(out)
    for tick in range(200):
        now = 100.0 + tick
        plain.update([summary(1)], "")
    assert len(out.getvalue().splitlines()) == 1


def test_nobody_reading_does_not_end_the_training() -> None:
    class Gone(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            raise BrokenPipeError

    out = Gone()
    plain = Plain(out)
    plain.line("a")
    plain.line("b")
    assert out.writes == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.2, "0 s"), (59.4, "59 s"), (59.6, "1:00"), (187, "3:07"), (3753, "1:02:33"), (-3, "0 s")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_labels_name_the_seed_once() -> None:
    assert label({"recipe.batch_size": 8, "model.name": "x"}, 3) == "batch_size=8 model.name=x seed=3"
    assert label({"seed": 3}, 3) == "seed=3"
    assert label({}, None) == ""


def test_the_live_table_shows_runs_as_they_are_without_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Live() as live:
        live.update([summary(3, accuracy=None)], "[bold]2 of 5")
        live.line("[red]what happened")
    text = out.getvalue()
    assert "[red]what happened" in text
    assert "[bold]2 of 5" in text
    assert "batch_size=64 seed=1" in text
    assert "epoch 3/30" in text


def test_closing_the_terminal_stops_the_sweep_in_order(tmp_path: Path) -> None:
    pytest.importorskip("mpi4py")
    spec = {
        "run_id": "0000abcd",
        "point": {"do": "wait", "seconds": 0.2, "epochs": 500},
        "seed": 0,
        "model": {"name": "none"},
        "resources": {"workers": 2},
        "recipe": {"communication": {"allreduce": "ring"}},
        "derived": {"batch_size": 16, "groups": 2},
    }
    program = str(Path(__file__).with_name("sweep_program.py"))
    arguments = [sys.executable, program, str(tmp_path), json.dumps([spec]), json.dumps({"workers": 2})]
    run = RunDirectory(tmp_path / "s" / "0000abcd")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, arguments)
    end = time.monotonic() + 60
    while run.state() is not State.RUNNING and time.monotonic() < end:
        time.sleep(0.05)
    said = os.read(terminal, 1_000_000).decode(errors="replace")
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130, said
    assert run.state() is State.STOPPED
    assert "1 run to do" in said
