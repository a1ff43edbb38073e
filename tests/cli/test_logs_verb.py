"""`hlb logs`: logs of lives, launchers and jobs, and the errors of a study."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sent_runs import StandIns, end, live, make_run, queue, submit

HLB = [sys.executable, "-m", "horovod_lb.cli.main"]


@pytest.fixture
def commands(tmp_path: Path) -> StandIns:
    return StandIns(tmp_path / "bin")


def hlb(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HLB, *map(str, arguments)], capture_output=True, text=True, check=False, **options
    )


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A planned run `aa`, a failed one `ab` with logs of three ranks, a completed one `cd` of two lives."""
    study = tmp_path / "s"
    make_run(study, "aa11")
    segment = live(run := make_run(study, "ab22", 128), None)
    end(run, "failed", error="Traceback\nValueError: the rate is purple")
    (segment / "log").write_text("line 1\nline 2\nValueError: the rate is purple\n")
    for rank in (1, 2):
        (segment / f"log.{rank}").write_text("hello\nHorovodInternalError: rank 0 is gone\n")
    run = make_run(study, "cd33", 256)
    for number in (1, 2):
        (live(run, f"slurm:{number}", number=number) / "log").write_text(f"life {number}\n")
    end(run, "completed", life=2)
    return study


def test_logs_are_printed_by_the_beginning_of_the_id(study: Path) -> None:
    assert hlb("logs", study, "ab").stdout == "line 1\nline 2\nValueError: the rate is purple\n"
    assert hlb("logs", study, "ab22", "--tail", "1").stdout == "ValueError: the rate is purple\n"
    assert hlb("logs", study, "ab22", "--tail", "0").stdout == ""
    assert hlb("logs", study, "ab22", "--rank", "2").stdout == "hello\nHorovodInternalError: rank 0 is gone\n"
    assert hlb("logs", study, "ab22", "--follow").stdout == "line 1\nline 2\nValueError: the rate is purple\n"
    assert hlb("logs", study, "c").stdout == "life 2\n"
    assert hlb("logs", study, "c", "--life", "1").stdout == "life 1\n"


def test_all_lives_come_in_order(study: Path) -> None:
    assert hlb("logs", study, "cd", "--all-lives").stdout == (
        "==> life 1 on node1 in job 1\nlife 1\n==> life 2 on node1 in job 2\nlife 2\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a"], "2 runs begin with 'a': aa11, ab22"),
        (["zz"], "no run in"),
        (["aa11"], "has not begun yet"),
        (["cd", "--life", "3"], "there is no"),
        (["cd", "--rank", "5"], "there is no"),
        (["cd", "--job"], "was never submitted"),
        ([], "whose log?"),
    ],
)
def test_logs_that_cannot_be_had_say_why(study: Path, arguments: list[str], message: str) -> None:
    done = hlb("logs", study, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_errors_of_all_failed_and_lost_runs_over_all_ranks(study: Path) -> None:
    segment = live(make_run(study, "ef44", 512), None, sign=900)
    (segment / "log.3").write_text("MemoryError: no room\n")
    assert hlb("logs", study, "--errors").stdout.splitlines() == [
        "ab22  batch_size=128 seed=0  failed: ValueError: the rate is purple",
        "    rank 0: ValueError: the rate is purple",
        "    ranks 1-2: HorovodInternalError: rank 0 is gone",
        "ef44  batch_size=512 seed=0  lost",
        "    rank 3: MemoryError: no room",
    ]
    assert "ef44" not in hlb("logs", study, "ab", "--errors").stdout


def test_following_a_log_ends_with_the_run(tmp_path: Path) -> None:
    life = make_run(tmp_path / "s", "aa").begin_life()
    log = life.directory / "log"
    log.write_text("begin\n")
    command = [*HLB, "logs", str(tmp_path / "s"), "aa", "-f"]
    follower = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    assert follower.poll() is None
    with log.open("a") as file:
        file.write("end\n")
    life.finish("completed")
    assert follower.communicate(timeout=20)[0] == "begin\nend\n"


def test_following_goes_on_into_the_next_life(tmp_path: Path, commands: StandIns) -> None:
    """The first life stops at the wall time, its job waits, and the second one ends the run."""
    study = tmp_path / "s"
    run = make_run(study, "aa")
    submit(study, (["aa"], ["5"]))
    commands.answer("squeue", queue("5 PENDING BeginTime"))
    first = live(run, "slurm:5")
    (first / "log").write_text("one\n")
    command = [*HLB, "logs", str(study), "aa", "--follow"]
    pipe = subprocess.PIPE
    follower = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=commands.environment())
    time.sleep(1.2)
    with (first / "log").open("a") as log:
        log.write("stopping\n")
    end(run, "stopped")
    time.sleep(1.5)
    assert follower.poll() is None
    second = live(run, "slurm:5", number=2)
    (second / "log").write_text("two\n")
    time.sleep(1.5)
    end(run, "completed", life=2)
    out, said = follower.communicate(timeout=20)
    assert out == "one\nstopping\ntwo\n"
    assert said.splitlines() == ["==> queued in job 5 (BeginTime); waiting", "==> life 2 on node1 in job 5"]
    assert len(commands.calls("squeue")) == 1


def test_following_ends_when_no_job_goes_on(tmp_path: Path, commands: StandIns) -> None:
    study = tmp_path / "s"
    run = make_run(study, "aa")
    submit(study, (["aa"], ["5"]))
    commands.answer("squeue", queue("5 TIMEOUT TimeLimit"))
    (live(run, "slurm:5", sign=900) / "log").write_text("one\n")
    done = hlb("logs", study, "aa", "-f", env=commands.environment(), timeout=30)
    assert (done.stdout, done.stderr) == ("one\n", "==> lost (timeout)\n")


def test_before_the_first_life_the_launcher_speaks(tmp_path: Path, commands: StandIns) -> None:
    study = tmp_path / "s"
    make_run(study, "aa")
    make_run(study, "bb")
    sent = submit(study, (["aa", "bb"], ["5"]), array=(1, 2))
    (sent.folder / "aa.log").write_text("srun: job step creation temporarily disabled\n")
    (sent.folder / "5_1.log").write_text("task begins\n")
    commands.answer("squeue", queue("5_1 RUNNING None", "5_2 PENDING Resources"))
    done = hlb("logs", study, "aa", env=commands.environment())
    assert done.stdout == "srun: job step creation temporarily disabled\n"
    assert done.stderr == "==> the launcher, no life has begun yet\n"
    assert hlb("logs", study, "aa", "--job", env=commands.environment()).stdout == "task begins\n"
    waits = hlb("logs", study, "bb", env=commands.environment())
    assert waits.returncode == 2
    assert "has not begun yet (it is queued in job 5_2: Resources)" in waits.stderr
