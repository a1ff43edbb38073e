from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sweep_program import PROGRAM, SESSION, spec

from horovod_lb.errors import HlbError
from horovod_lb.runs import RunDirectory, State
from horovod_lb.sweep import run_sweep

pytest.importorskip("mpi4py")


class Sweeps:
    """Sweeps over one folder: in this process, or in one of their own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.started: list[subprocess.Popen[str]] = []

    def run(self, specs: list[dict[str, Any]], **options: Any) -> int:
        return run_sweep("s", specs, self.root, workers=2, command=SESSION, **options)

    def start(self, specs: list[dict[str, Any]], **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, str(PROGRAM), str(self.root), json.dumps(specs)]
        program = subprocess.Popen(
            [*command, json.dumps({"workers": 2, **options})], stdout=subprocess.PIPE, text=True
        )
        self.started.append(program)
        return program

    def directory(self, number: int) -> RunDirectory:
        return RunDirectory(self.root / "s" / f"{number:04d}abcd")

    def states(self, count: int) -> list[str]:
        return [str(self.directory(number).state()) for number in range(count)]

    def exits(self, count: int) -> list[dict[str, Any]]:
        return [self.directory(number).read_exit() or {} for number in range(count)]


@pytest.fixture
def sweeps(tmp_path: Path) -> Iterator[Sweeps]:
    sweeps = Sweeps(tmp_path)
    yield sweeps
    for program in sweeps.started:
        if program.poll() is None:
            program.kill()
        program.communicate()


def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def processes_about(folder: Path) -> list[int]:
    """The processes with `folder` in their command line, except this one's own sweeps."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in words and b"trivial_session" in words:
            found.append(int(path.parent.name))
    return found


def test_a_crashing_run_takes_only_itself_along(sweeps: Sweeps, capfd: pytest.CaptureFixture[str]) -> None:
    doings = ["complete", "raise", "complete", "kill", "orphan", "exit", "complete"]
    specs = [spec(number, do, rank=number % 2) for number, do in enumerate(doings)]
    assert sweeps.run(specs) == 1
    assert sweeps.states(7) == ["completed" if do == "complete" else "failed" for do in doings]
    errors = [record.get("error") for record in sweeps.exits(7)]
    assert errors[1] == "ValueError: the learning rate is purple (rank 1)"
    assert "signal 9" in errors[3]
    assert errors[4] == "mpirun ended with status -9"
    assert "SystemExit: 3" in errors[5]
    assert "the learning rate is purple" in (sweeps.directory(1).segments / "1" / "log.1").read_text()
    assert [directory.life_number() for directory in map(sweeps.directory, range(7))] == [1] * 7
    said = capfd.readouterr().out
    assert "3 of 7 runs have their result" in said
    assert "ValueError: the learning rate is purple" in said

    assert sweeps.run(specs) == 1
    assert [directory.life_number() for directory in map(sweeps.directory, range(7))] == [1] * 7
    assert sweeps.run(specs, retry_failed=True) == 1
    lives = [directory.life_number() for directory in map(sweeps.directory, range(7))]
    assert lives == [1 if do == "complete" else 2 for do in doings]


def test_one_session_works_through_many_runs_and_leaks_nothing(sweeps: Sweeps) -> None:
    count = 200
    assert sweeps.run([spec(number, epochs=1) for number in range(count)], threads=1) == 0
    exits = sweeps.exits(count)
    assert {record["state"] for record in exits} == {"completed"}
    by_process: dict[int, list[int]] = {}
    for record in exits:
        by_process.setdefault(record["pid"], []).append(record["descriptors"])
    assert all(len(set(descriptors)) == 1 for descriptors in by_process.values())
    assert len(by_process) <= max(1, len(os.sched_getaffinity(0)) // 2), "no session was started twice"
    assert {record["ranks"] for record in exits} == {2}


def test_isolated_runs_have_ranks_of_their_own(sweeps: Sweeps) -> None:
    assert sweeps.run([spec(number) for number in range(3)], isolated=True) == 0
    assert len({record["pid"] for record in sweeps.exits(3)}) == 3


def test_runs_get_the_ranks_and_the_algorithm_they_ask_for(sweeps: Sweeps) -> None:
    specs = [spec(0), spec(1, allreduce="rabenseifner"), spec(2, workers=3)]
    specs[2]["point"]["resources.workers"] = 3
    assert run_sweep("s", specs, sweeps.root, command=SESSION, threads=1) == 0
    exits = sweeps.exits(3)
    assert [record["allreduce"] for record in exits] == ["ring", "rabenseifner", "ring"]
    assert exits[2]["ranks"] == 3


def test_a_finished_study_starts_no_ranks(sweeps: Sweeps) -> None:
    assert sweeps.run([spec(0)]) == 0
    began = time.monotonic()
    assert run_sweep("s", [spec(0)], sweeps.root, command=("/nowhere/at/all",)) == 0
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_stops_its_run_and_goes_on_when_started_again(
    sweeps: Sweeps, signal_number: signal.Signals
) -> None:
    specs = [spec(0), *(spec(number, "wait", seconds=0.2, epochs=8) for number in (1, 2))]
    program = sweeps.start(specs)
    wait_for(lambda: len(sweeps.directory(1).read_metrics()) >= 2)
    program.send_signal(signal_number)
    said, _ = program.communicate(timeout=60)
    assert program.returncode == 130, said
    assert "the same command goes on from the last checkpoints" in said
    assert sweeps.states(3) == ["completed", "stopped", "planned"]
    assert not processes_about(sweeps.root)
    assert sweeps.run(specs) == 0
    assert sweeps.states(3) == ["completed"] * 3
    for number in (1, 2):
        assert [row["epoch"] for row in sweeps.directory(number).read_metrics()] == list(range(1, 9))
    assert sweeps.directory(1).life_number() == 2


def test_a_second_interrupt_ends_ranks_that_do_not_stop(sweeps: Sweeps) -> None:
    program = sweeps.start([spec(0, "wait", seconds=600)])
    wait_for(lambda: sweeps.directory(0).state() is State.RUNNING)
    program.send_signal(signal.SIGINT)
    wait_for(sweeps.directory(0).stop_requested)
    assert program.poll() is None
    began = time.monotonic()
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=60)
    assert program.returncode == 130
    assert time.monotonic() - began < 15
    assert not processes_about(sweeps.root)
    assert sweeps.states(1) == ["lost"], "it will resume: nobody said that it failed"


def test_ranks_do_not_outlive_a_killed_sweep(sweeps: Sweeps) -> None:
    program = sweeps.start([spec(0, "wait", seconds=0.2, epochs=1000)])
    wait_for(lambda: sweeps.directory(0).state() is State.RUNNING)
    assert processes_about(sweeps.root)
    program.kill()
    wait_for(lambda: not processes_about(sweeps.root), 15)
    assert sweeps.states(1) == ["lost"]


def test_two_sweeps_over_one_folder_share_the_work(sweeps: Sweeps) -> None:
    specs = [spec(number, "wait", seconds=0.1, epochs=3) for number in range(8)]
    programs = [sweeps.start(specs), sweeps.start(specs[::-1])]
    said = [program.communicate(timeout=120)[0] for program in programs]
    assert [program.returncode for program in programs] == [0, 0], said
    assert sweeps.states(8) == ["completed"] * 8
    assert [sweeps.directory(number).life_number() for number in range(8)] == [1] * 8
    assert len({record["pid"] for record in sweeps.exits(8)}) >= 2


def test_a_run_that_is_asked_to_stop_leaves_the_others_alone(sweeps: Sweeps) -> None:
    program = sweeps.start([spec(0, "wait", seconds=0.2, epochs=200), spec(1)])
    wait_for(lambda: sweeps.directory(0).state() is State.RUNNING)
    sweeps.directory(0).request_stop()
    program.communicate(timeout=60)
    assert program.returncode == 1
    assert sweeps.states(2) == ["stopped", "completed"]


def test_a_sweep_stops_after_so_many_failures(sweeps: Sweeps) -> None:
    specs = [spec(number, "raise") for number in range(4)]
    assert sweeps.run(specs, max_failures=2, isolated=True) == 1
    assert sweeps.states(4).count("failed") in (2, 3), "a run side by side with the second may fail, too"
    assert "planned" in sweeps.states(4)


def test_sessions_that_cannot_start_are_not_started_for_ever(sweeps: Sweeps) -> None:
    command = (sys.executable, "-c", "raise ImportError('tensorflow is not here')")
    with pytest.raises(HlbError, match="could not start: ImportError: tensorflow is not here") as caught:
        run_sweep("s", [spec(0)], sweeps.root, workers=2, command=command)
    assert Path(str(caught.value).rsplit("Its log: ", 1)[1]).is_file()
    assert sweeps.states(1) == ["planned"]
