"""Following and cancelling with the Slurm of this machine, where one answers."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sent_runs import live, make_run, submit

from horovod_lb.batch.follow import Following, follow
from horovod_lb.batch.submission import Link, Submission
from horovod_lb.runs import State


def ask(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


@pytest.fixture
def sbatch(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Sends a command as a job; whatever is left of the jobs is cancelled in the end."""
    if shutil.which("sinfo") is None:
        pytest.skip("no Slurm here: sinfo is not installed")
    try:
        ask("sinfo", "--noheader")
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("no Slurm here: sinfo does not answer")
    jobs: list[str] = []

    def send(submission: Submission, number: int, command: str, *options: str) -> str:
        about = [f"--job-name={submission.jobs[number].name}", f"--output={tmp_path / 'job.log'}"]
        jobs.append(ask("sbatch", "--parsable", "--ntasks=1", *about, *options, f"--wrap={command}"))
        submission.with_link(number, 0, Link(jobs[-1]))
        return jobs[-1]

    yield send
    subprocess.run(["scancel", *jobs], check=False)


def until(study: Path, met: Callable[[Following], bool], seconds: float = 60) -> Following:
    """Follows until something is so; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not met(found := follow(study)):
        assert time.monotonic() < deadline, [found.state(run.name) for run in study.iterdir()]
        time.sleep(1)
    return found


def test_states_follow_real_jobs(tmp_path: Path, sbatch: Callable[..., str]) -> None:
    study = tmp_path / "s"
    for number, name in enumerate("abcde"):
        make_run(study, name, number)
    array = submit(study, (["a", "b"], [None]), array=(0, 1))
    single = submit(study, (["c"], [None]), (["d"], [None]), (["e"], [None]))
    runs = sbatch(array, 0, "sleep 300", "--array=0-1%1")
    held = sbatch(single, 0, "sleep 300", "--hold")
    ends = sbatch(single, 1, "true")
    sbatch(single, 2, "exit 3")

    found = until(
        study,
        lambda found: (
            found.state("a").state is State.RUNNING
            and all(found.state(name).state is State.LOST for name in "de")
        ),
    )
    assert found.problem is None
    assert (found.state("a").reason, bool(found.state("a").nodes)) == ("starting", True)
    assert (found.state("a").seconds_left or 0) > 0
    assert (found.state("b").state, found.state("b").reason) == (State.QUEUED, "JobArrayTaskLimit")
    assert (found.state("c").state, found.state("c").reason) == (State.QUEUED, "held: JobHeldUser")
    assert found.state("d").reason == "its job ended without a record of the run"
    assert found.state("e").reason.startswith("its job failed")

    # An orphan: it beats, and its job is over.
    live(study_run := make_run(study, "d", 3), f"slurm:{ends}")
    assert study_run.state() is State.RUNNING
    assert follow(study).state("d").state is State.LOST

    done = subprocess.run(
        [sys.executable, "-m", "horovod_lb.cli.main", "cancel", str(study), "b", "c", "--yes"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    until(study, lambda _: ask("squeue", "--noheader", "--array", f"--jobs={runs},{held}").count("\n") == 0)
    assert [follow(study).state(name).state for name in "bc"] == [State.CANCELLED] * 2

    ask("scancel", runs)
    found = until(study, lambda found: found.state("a").state is State.LOST)
    assert found.state("a").reason.startswith("its job was cancelled")
