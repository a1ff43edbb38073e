from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from horovod_lb.runs import RunDirectory, State
from horovod_lb.runs.life import process_start

RACER = """
import sys, time
from horovod_lb.runs import RunDirectory, RunTakenError
rounds = [RunDirectory(path) for path in sys.argv[2:]]
for number, run in enumerate(rounds):
    start = float(sys.argv[1]) + 0.01 * number
    while time.time() < start:
        pass
    try:
        print(number, run.begin_life("racer").number, flush=True)
    except RunTakenError:
        pass
sys.stdin.read()
"""

WRITER = """
import sys
from horovod_lb.runs import RunDirectory
run = RunDirectory(sys.argv[1])
life = run.begin_life("writer")
rows = run.read_metrics()
life.truncate_metrics(max(0, len(rows) - 2))
epoch = len(run.read_metrics())
print("begun", flush=True)
while True:
    epoch += 1
    row = {"epoch": epoch, "step": 10 * epoch, "val_accuracy": epoch / 7}
    life.append_metrics({**row, "noise": epoch * 1e-9})
    life.heartbeat(epoch=epoch, padding="x" * 2000)
    life.event("epoch", number=epoch)
    if epoch % 40 == 0:
        life.finish("stopped", epoch=epoch)
        break
"""


def test_of_processes_that_begin_a_life_at_one_moment_exactly_one_wins(tmp_path: Path) -> None:
    runs = [RunDirectory(tmp_path / str(i)).create({"run_id": str(i)}) for i in range(150)]
    command = [sys.executable, "-c", RACER, str(time.time() + 1.0), *(str(run.path) for run in runs)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen(command, **pipes) for _ in range(3)]
    # They stay alive until all have tried: the run of a dead winner could rightly be taken up again.
    while not all(run.life_number() for run in runs):
        time.sleep(0.05)
    time.sleep(0.5)
    wins = [racer.communicate()[0].splitlines() for racer in racers]
    assert all(racer.returncode == 0 for racer in racers)
    assert sorted(int(line.split()[0]) for lines in wins for line in lines) == list(range(len(runs)))
    assert all(line.split()[1] == "1" for lines in wins for line in lines)
    assert all([entry.name for entry in run.segments.iterdir()] == ["1"] for run in runs)
    assert sum(bool(lines) for lines in wins) > 1, "there was no race"


def test_killed_writers_leave_states_that_can_be_read_and_taken_up(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "r").create({"run_id": "r"})
    moments = random.Random(2)
    for number in range(1, 16):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, run.path], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"begun\n"
        time.sleep(moments.random() * 0.1)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        assert run.life_number() == number
        record = run.read_exit()
        assert run.state() is (State.LOST if record is None else State.STOPPED)
        rows = run.read_metrics()
        assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
        assert all(
            row["step"] == 10 * row["epoch"] and row["val_accuracy"] == row["epoch"] / 7 for row in rows
        )
        assert all(row["noise"] == row["epoch"] * 1e-9 for row in rows)
        beat = run.read_heartbeat()
        assert beat is None or len(beat["padding"]) == 2000
        events = run.read_events()
        assert [event["life"] for event in events if event["kind"] == "begin"] == list(range(1, number + 1))
    assert len(rows) > 1
    run.begin_life()
    assert not list(run.path.glob(".*.tmp")), "what killed writers left is cleared away"


def test_a_zombie_is_dead_and_a_process_id_used_again_is_another() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    start = process_start(child.pid)
    assert start is not None
    assert start > (process_start(os.getppid()) or 0)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has fetched its status
    assert process_start(child.pid) is None
    child.communicate()
    assert process_start(child.pid) is None
