"""`hlb cancel`: marks first, then jobs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sent_runs import StandIns, end, live, make_run, queue, submit

from horovod_lb.runs import RunDirectory, State

HLB = [sys.executable, "-m", "horovod_lb.cli.main"]


@pytest.fixture
def commands(tmp_path: Path) -> StandIns:
    return StandIns(tmp_path / "bin")


@pytest.fixture
def study(tmp_path: Path, commands: StandIns) -> Path:
    """`aa` runs in job 1, `bb` waits in job 2, `cc` is done, `dd` and `ee` share job 3."""
    study = tmp_path / "s"
    runs = {
        name: make_run(study, name, 2**number) for number, name in enumerate(("aa", "bb", "cc", "dd", "ee"))
    }
    live(runs["aa"], "slurm:1")
    live(runs["cc"], "slurm:4")
    end(runs["cc"], "completed")
    submit(study, (["aa"], ["1"]), (["bb"], ["2"]), (["cc"], ["4"]))
    submit(study, (["dd", "ee"], ["3"]), pack=2)
    commands.answer("squeue", queue("1 RUNNING None", "2 PENDING Priority", "3 RUNNING None"))
    return study


def hlb(commands: StandIns, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HLB, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=commands.environment(),
        check=False,
        **options,
    )


def marked(study: Path) -> set[str]:
    return {path.name for path in study.iterdir() if RunDirectory(path).cancel_requested()}


def test_all_runs_without_a_result_are_marked_and_their_jobs_cancelled(
    study: Path, commands: StandIns
) -> None:
    done = hlb(commands, "cancel", study, "--yes")
    assert done.returncode == 0, done.stderr
    assert marked(study) == {"aa", "bb", "dd", "ee"}
    assert commands.calls("scancel") == ["1 2 3"]
    assert "4 runs marked: 1 running will stop with a checkpoint, 3 will not begin again" in done.stdout
    assert RunDirectory(study / "bb").state() is State.CANCELLED


def test_marks_are_there_before_any_job_is_touched(study: Path, commands: StandIns) -> None:
    commands.hook("scancel", f"ls {study}/*/STOP > {study}/seen")
    hlb(commands, "cancel", study, "--yes")
    assert (study / "seen").read_text().count("STOP") == 4


def test_one_run_of_a_packed_job_ends_by_its_mark(study: Path, commands: StandIns) -> None:
    done = hlb(commands, "cancel", study, "dd", "b", "--yes")
    assert done.returncode == 0, done.stderr
    assert marked(study) == {"bb", "dd"}
    assert commands.calls("scancel") == ["2"]
    assert "job 3 goes on for other runs; 1 run in it will end by the mark" in done.stdout


def test_where_chooses_and_a_dry_run_shows(study: Path, commands: StandIns) -> None:
    done = hlb(
        commands, "cancel", study, "--where", "state == 'queued' and recipe.batch_size < 8", "--dry-run"
    )
    assert done.stdout.splitlines()[-1] == "scancel 2"
    assert (marked(study), commands.calls("scancel")) == (set(), [])


def test_nothing_happens_where_nobody_can_be_asked(study: Path, commands: StandIns) -> None:
    done = hlb(commands, "cancel", study, input="y\n")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert (marked(study), commands.calls("scancel")) == (set(), [])


def test_a_scheduler_that_does_not_answer_leaves_marks_and_a_command(study: Path, commands: StandIns) -> None:
    down = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    commands.answer("squeue", err=down, status=1)
    commands.answer("scancel", err=f"scancel: error: {down}", status=1)
    done = hlb(commands, "cancel", study, "--yes")
    assert done.returncode == 1
    assert marked(study) == {"aa", "bb", "dd", "ee"}
    assert "may still have to be cancelled" in done.stderr
    assert "    scancel 1 2 3" in done.stderr
    commands.answer("scancel")
    again = hlb(commands, "cancel", study, "--yes")
    assert again.returncode == 0, again.stderr
    assert "Unable to contact" in again.stderr
    assert commands.calls("scancel") == ["1 2 3"] * 2


def test_a_mark_that_cannot_be_written_keeps_no_job_alive(study: Path, commands: StandIns) -> None:
    """A full disk, a used-up quota: jobs must end all the same."""
    script = """
import errno, io, sys
whole = io.open
def full(path, mode="r", *rest, **options):
    if "STOP" in str(path) and not mode.startswith("r"):
        raise OSError(errno.ENOSPC, "No space left on device")
    return whole(path, mode, *rest, **options)
io.open = full
from horovod_lb.cli.main import main
main(sys.argv[1:])
"""
    done = subprocess.run(
        [sys.executable, "-c", script, "cancel", str(study), "b", "--yes"],
        capture_output=True,
        text=True,
        env=commands.environment(),
        check=False,
    )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "1 run not marked" in done.stderr
    assert commands.calls("scancel") == ["2"]


def test_a_second_time_cancels_the_jobs_that_are_left(study: Path, commands: StandIns) -> None:
    commands.answer("scancel", err="scancel: error: Unable to contact slurm controller", status=1)
    assert hlb(commands, "cancel", study, "b", "--yes").returncode == 1
    commands.answer("scancel")
    assert hlb(commands, "cancel", study, "b", "--yes").returncode == 0
    assert commands.calls("scancel") == ["2", "2"]


def test_a_run_of_a_local_sweep_is_marked(tmp_path: Path, commands: StandIns) -> None:
    study = tmp_path / "local"
    life = make_run(study, "aa").begin_life()
    make_run(study, "bb")
    done = hlb(commands, "cancel", study, "--yes")
    assert done.returncode == 0, done.stderr
    assert marked(study) == {"aa", "bb"}
    life.finish("stopped")
    assert RunDirectory(study / "aa").state() is State.CANCELLED
    assert "nothing to cancel" in hlb(commands, "cancel", study, "--yes").stdout
