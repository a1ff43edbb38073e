"""Lives of batch jobs, and runs that somebody cancelled."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from horovod_lb.errors import RunDirectoryError
from horovod_lb.runs import RunDirectory, RunTakenError, State


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "r").create({"run_id": "r"})


def move_to_another_host(run: RunDirectory, **changes: Any) -> None:
    """Makes the newest life one of a process that cannot be seen from here, with a fresh sign of life."""
    path = run.segments / str(run.life_number()) / "life.json"
    record = {**json.loads(path.read_text()), "host": "node7", "place": "node7 boot pid:[1]", **changes}
    path.write_text(json.dumps({**record, "time": time.time()}))


def test_a_life_elsewhere_with_a_fresh_sign_is_left_alone(run: RunDirectory) -> None:
    run.begin_life("a")
    move_to_another_host(run)
    assert run.state() is State.RUNNING
    with pytest.raises(RunTakenError, match="alive"):
        run.begin_life("b")


def test_who_knows_that_a_life_is_over_may_begin_the_next(run: RunDirectory) -> None:
    orphan = run.begin_life("a")
    move_to_another_host(run)
    with pytest.raises(RunTakenError):
        run.begin_life("b", supersedes=2)
    assert run.begin_life("b", supersedes=1).number == 2
    for write in (
        lambda: orphan.heartbeat(epoch=1),
        lambda: orphan.append_metrics({"epoch": 1}),
        lambda: orphan.finish("completed"),
        lambda: orphan.attach("job.sh", b"x"),
        orphan.fence,
    ):
        with pytest.raises(RunDirectoryError, match="life 2 owns the run"):
            write()


@pytest.mark.parametrize(
    ("job", "task", "allowed"),
    [
        ("slurm:12_3", "second", True),  # requeued: same job, another of its lives
        ("slurm:12_3", "first", False),  # another process of the same life of the job
        ("slurm:12_4", "second", False),  # another job
        (None, None, False),  # no batch job at all
    ],
)
def test_a_requeued_job_takes_over_from_its_earlier_life(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, job: str | None, task: str | None, allowed: bool
) -> None:
    monkeypatch.setenv("HLB_JOB", "slurm:12_3")
    monkeypatch.setenv("HLB_TASK", "first")
    run.begin_life("a")
    assert (run.life_record()["job"], run.life_record()["task"]) == ("slurm:12_3", "first")
    move_to_another_host(run)
    for name, value in (("HLB_JOB", job), ("HLB_TASK", task)):
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    if allowed:
        assert run.begin_life("b").number == 2
    else:
        with pytest.raises(RunTakenError):
            run.begin_life("b")


def test_a_result_is_not_superseded(run: RunDirectory) -> None:
    run.begin_life("a").finish("completed")
    with pytest.raises(RunTakenError, match="not overwritten"):
        run.begin_life("b", supersedes=1)


def test_cancelled_is_what_is_neither_alive_nor_finished(run: RunDirectory) -> None:
    run.request_stop(cancel=True)
    assert run.state() is State.CANCELLED
    run.request_stop()
    assert run.cancel_requested(), "a plain request to stop does not take the cancelling back"
    run.clear_stop()
    assert run.state() is State.PLANNED

    life = run.begin_life("a")
    run.request_stop(cancel=True)
    assert run.state() is State.RUNNING
    life.finish("stopped", reason="asked to stop, after step 3")
    assert run.state() is State.CANCELLED
    assert run.read_exit()["reason"] == "asked to stop, after step 3"
    assert not run.stop_requested()


def test_a_run_that_was_stopped_or_lost_can_be_cancelled(run: RunDirectory) -> None:
    run.begin_life("a").finish("stopped")
    assert run.state() is State.STOPPED
    run.request_stop(cancel=True)
    assert run.state() is State.CANCELLED
    run.begin_life("b")
    move_to_another_host(run)
    beat = run.segments / "2" / "life.json"
    beat.write_text(json.dumps({**json.loads(beat.read_text()), "time": time.time() - 1e6}))
    assert run.state() is State.CANCELLED
    run.clear_stop()
    assert run.state() is State.LOST


@pytest.mark.parametrize("state", ["completed", "diverged", "failed"])
def test_a_request_to_cancel_that_comes_too_late_changes_nothing(run: RunDirectory, state: str) -> None:
    life = run.begin_life("a")
    run.request_stop(cancel=True)
    life.finish(state)
    run.request_stop(cancel=True)
    assert run.state() is State(state)


def test_a_new_life_sweeps_up_after_the_dead_and_leaves_what_somebody_is_writing(run: RunDirectory) -> None:
    here, now = os.uname().nodename, time.time()
    dead = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True).stdout.strip()
    files = {
        f".exit.json.1.{dead}.{here}.tmp": (now, False),
        f".STOP.1.{os.getpid()}.{here}.tmp": (now - 300, True),  # slow, but alive
        f".STOP.1.{dead}.login1.site.gov.tmp": (now, True),
        f".STOP.2.{dead}.login1.site.gov.tmp": (now - 300, False),
        ".of-an-earlier-version.tmp": (now - 300, False),
    }
    for name, (moment, _) in files.items():
        (run.path / name).touch()
        os.utime(run.path / name, (moment, moment))
    run.begin_life("a")
    assert {name for name in files if (run.path / name).exists()} == {
        n for n, (_, kept) in files.items() if kept
    }
