"""`hlb status` of runs that were sent to a batch system."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sent_runs import StandIns, end, live, make_run, queue, submit

HLB = [sys.executable, "-m", "horovod_lb.cli.main"]


@pytest.fixture
def commands(tmp_path: Path) -> StandIns:
    return StandIns(tmp_path / "bin")


def hlb(commands: StandIns, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HLB, *map(str, arguments)], capture_output=True, text=True, env=commands.environment(), check=False
    )


@pytest.fixture
def study(tmp_path: Path, commands: StandIns) -> Path:
    """A run in each of the states that jobs make."""
    study = tmp_path / "s"
    runs = {name: make_run(study, f"{name}{name}11", 2**number) for number, name in enumerate("abcdef")}
    live(runs["a"], "slurm:7_1")
    segment = live(runs["b"], "slurm:7_2", sign=900)
    (segment / "log").write_text("epoch 1\nMemoryError: no room\nsome last words\n")
    live(runs["c"], "slurm:7_3")
    end(runs["c"], "completed")
    first = submit(study, ([f"{name}{name}11" for name in "abcd"], ["7"]), array=(1, 4))
    second = submit(study, (["ee11"], ["8"]))
    (second.folder / "8.log").write_text(
        "/var/spool/job: line 4: module: command not found\nOSError: no mpirun\n"
    )
    (first.folder / "dd11.log").write_text("srun: nothing\n")
    commands.answer(
        "squeue",
        queue(
            "7_1 RUNNING None", "7_2 NODE_FAIL NodeFail", "7_4 PENDING Priority", "8 FAILED NonZeroExitCode"
        ),
    )
    return study


def test_the_table_has_job_reason_and_the_jobs_time_left(study: Path, commands: StandIns) -> None:
    done = hlb(commands, "status", study)
    assert (done.returncode, done.stderr) == (0, "")
    header, *rows, summary = done.stdout.splitlines()
    assert header == "run   point                 state      job  epoch  accuracy  images/s  left  job left"
    words = {row.split()[0]: row.split()[3:] for row in rows}
    assert words["aa11"] == ["running", "7_1", "2/5", "0.5000", "1:30:00"]
    assert words["bb11"] == ["lost", "7_2", "2/5", "0.5000", "node", "failure:", "MemoryError:", "no", "room"]
    assert words["cc11"][:2] == ["completed", "7_3"]
    assert words["dd11"] == ["queued", "7_4", "Priority"]
    assert words["ee11"] == ["lost", "8", "its", "job", "failed:", "OSError:", "no", "mpirun"]
    assert words["ff11"] == ["planned"]
    assert summary == "6 runs: 2 lost, 1 running, 1 completed, 1 queued, 1 planned"
    assert len(commands.calls("squeue")) == 1


def test_json_is_complete(study: Path, commands: StandIns) -> None:
    found = json.loads(hlb(commands, "status", study, "--json").stdout)
    assert found["problem"] is None
    runs = {run["run_id"]: run for run in found["runs"]}
    assert {
        key: runs["aa11"][key] for key in ("job", "job_state", "job_seconds_left", "nodes", "reason")
    } == {
        "job": "7_1",
        "job_state": "running",
        "job_seconds_left": 5400.0,
        "nodes": "node[1-2]",
        "reason": None,
    }
    assert (runs["bb11"]["reason"], runs["bb11"]["error"]) == ("node failure", "MemoryError: no room")
    manual = (Path(__file__).parents[2] / "docs" / "following.md").read_text()
    assert [key for key in [*found, *runs["aa11"]] if f"`{key}`" not in manual] == []


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("job == '7_4'", {"dd11"}),
        ("reason == 'Priority' or state == 'running'", {"aa11", "dd11"}),
        ("job == null", {"ff11"}),
    ],
)
def test_where_knows_jobs_and_reasons(study: Path, commands: StandIns, where: str, ids: set[str]) -> None:
    found = json.loads(hlb(commands, "status", study, "--json", "--where", where).stdout)
    assert {run["run_id"] for run in found["runs"]} == ids


def test_a_scheduler_that_is_down_is_said_and_nothing_is_guessed(study: Path, commands: StandIns) -> None:
    commands.answer("squeue", err="slurm_load_jobs error: Unable to contact slurm controller", status=1)
    done = hlb(commands, "status", study)
    assert done.returncode == 0
    assert "Unable to contact slurm controller" in done.stderr
    assert "Unable to contact slurm controller" in done.stdout.splitlines()[-1]
    states = {row.split()[0]: row.split()[3] for row in done.stdout.splitlines()[1:7]}
    assert states == {
        "aa11": "running",
        "bb11": "lost",
        "cc11": "completed",
        "dd11": "unknown",
        "ee11": "unknown",
        "ff11": "planned",
    }
    found = json.loads(hlb(commands, "status", study, "--json").stdout)
    assert "Unable to contact" in found["problem"]


def test_without_submissions_no_scheduler_is_thought_of(tmp_path: Path, commands: StandIns) -> None:
    make_run(tmp_path / "s", "aa")
    script = (
        "import sys, horovod_lb.cli.main as m\n"
        "rooms = ('horovod_lb.batch', 'horovod_lb.schedulers', 'horovod_lb.machines')\n"
        "try:\n    m.main(['status', sys.argv[1]])\n"
        "finally:\n    print(sorted(n for n in sys.modules if n.startswith(rooms)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "s"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_watching_ends_with_the_last_run_and_asks_seldom(tmp_path: Path, commands: StandIns) -> None:
    study = tmp_path / "s"
    runs = [make_run(study, name) for name in ("aa", "bb")]
    live(runs[0], "slurm:1")
    submit(study, (["aa"], ["1"]), (["bb"], ["2"]))
    commands.answer("squeue", queue("1 RUNNING None", "2 PENDING Priority"))
    command = [*HLB, "status", str(study), "--watch", "--every", "0.2"]
    watcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=commands.environment())
    assert watcher.stdout is not None

    def said(number: int) -> list[str]:
        """The next lines, without the time."""
        return [watcher.stdout.readline().rstrip().split(None, 1)[1] for _ in range(number)]

    assert said(1) == ["2 runs: 1 running, 1 queued"]
    end(runs[0], "completed")
    assert said(2)[0].endswith("running -> completed")
    live(runs[1], "slurm:2", sign=-120)
    assert said(2)[0].endswith("queued -> running in job 2")
    end(runs[1], "diverged")
    assert said(1)[0].endswith("running -> diverged")
    assert said(1) == ["2 runs: 1 completed, 1 diverged"]
    assert watcher.communicate(timeout=20)[0] == ""
    assert watcher.returncode == 0
    assert len(commands.calls("squeue")) == 1


def test_watching_ends_quietly_on_ctrl_c(tmp_path: Path, commands: StandIns) -> None:
    study = tmp_path / "s"
    live(make_run(study, "aa"), None)
    command = [*HLB, "status", str(study), "--watch"]
    watcher = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=commands.environment()
    )
    time.sleep(1.5)
    watcher.send_signal(signal.SIGINT)
    assert watcher.communicate(timeout=10)[1] == ""
    assert watcher.returncode == 130


def test_the_status_of_a_thousand_submitted_runs_takes_three_seconds(
    tmp_path: Path, commands: StandIns
) -> None:
    """CPU time, so that other work on this machine does not count."""
    study = tmp_path / "s"
    names = [f"{number:06d}" for number in range(1000)]
    spec = {
        "point": {"recipe.batch_size": 1},
        "seed": 0,
        "derived": {},
        "recipe": dict.fromkeys("abcdefgh", 1),
    }
    for name in names:
        (study / name).mkdir(parents=True)
        (study / name / "run.json").write_text(json.dumps({"run_id": name, **spec}))
    submit(study, *(([name], [str(1 + number)]) for number, name in enumerate(names)))
    commands.answer("squeue", queue(*(f"{1 + number} PENDING Priority" for number in range(1000))))
    before = os.times()
    done = hlb(commands, "status", study)
    after = os.times()
    assert done.stdout.splitlines()[-1] == "1000 runs: 1000 queued"
    assert len(commands.calls("squeue")) == 1
    assert after.children_user + after.children_system - before.children_user - before.children_system < 3
