"""The task inside a batch job, with `env` as its launcher and a job script that trains nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from horovod_lb.batch.task import main
from horovod_lb.batch.tasks import RESUME
from horovod_lb.runs import RunDirectory, State

JOB = Path(__file__).with_name("task_job.py")
ROOT = Path(__file__).resolve().parents[2]

# The task, but for the time that it gives a scheduler to tell of a lost node.
IMPATIENT = """
import sys
from horovod_lb.batch import steps, task, tasks
steps.PATIENCE_SECONDS, tasks.LOOK_SECONDS = 0.3, 1.0
sys.exit(task.main())
"""


class Folder:
    """A study's runs and the list of them, as a submission has it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.submission = path / "submissions" / "x"
        self.submission.mkdir(parents=True)
        self.runs: list[RunDirectory] = []

    def add(self, **point: Any) -> RunDirectory:
        name = f"run{len(self.runs)}"
        spec = {"run_id": name, "seed": 0, "point": point, "job": {"path": str(JOB)}}
        self.runs.append(RunDirectory(self.path / name).create(spec))
        listing = "".join(f"{run.path}\n" for run in self.runs)
        (self.submission / "1.txt").write_text(listing)
        return self.runs[-1]

    def arguments(self, *more: str, launcher: Sequence[str] = ("env",)) -> list[str]:
        files = ["--runs", str(self.submission / "1.txt"), "--stop", str(self.submission / "stop")]
        return [*files, "--ranks", "1", *more, "--", *launcher]

    def start(
        self, *more: str, launcher: Sequence[str] = ("env",), **variables: str
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", IMPATIENT, *self.arguments(*more, launcher=launcher)],
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def work(self, *more: str, launcher: Sequence[str] = ("env",), **variables: str) -> tuple[int, str]:
        process = self.start(*more, launcher=launcher, **variables)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    def states(self) -> list[str]:
        return [str(run.state()) for run in self.runs]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def wait(condition: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_every_run_is_trained_once_and_its_launcher_has_a_log(folder: Folder) -> None:
    for _ in range(3):
        folder.add()
    status, output = folder.work()
    assert (status, folder.states()) == (0, ["completed"] * 3), output
    assert all((folder.submission / f"run{number}.log").exists() for number in range(3))
    assert folder.work()[0] == 0
    assert [run.life_number() for run in folder.runs] == [1, 1, 1]


def test_an_index_takes_one_pack_of_the_list(folder: Folder) -> None:
    for _ in range(5):
        folder.add()
    assert folder.work("--index", "1", "--pack", "2")[0] == 0
    assert folder.states() == ["planned", "planned", "completed", "completed", "planned"]
    assert folder.work("--index", "2", "--pack", "2")[0] == 0
    assert folder.states()[4] == "completed"
    for index in ("3", "-1"):
        status, output = folder.work("--index", index, "--pack", "2")
        assert status == 2, output
        assert "no such pack" in output


@pytest.mark.parametrize("side_by_side", [1, 2, 3])
def test_so_many_steps_at_a_time_and_no_more(folder: Folder, side_by_side: int) -> None:
    for _ in range(4):
        folder.add(seconds=0.6)
    assert folder.work("--side-by-side", str(side_by_side))[0] == 0
    spans = []
    for run in folder.runs:
        begin, end = [event["time"] for event in run.read_events()]
        spans.append((begin, end))
    most = max(sum(begin <= moment < end for begin, end in spans) for moment, _ in spans)
    assert most == side_by_side


@pytest.mark.parametrize("way", ["file", "USR2", "TERM", "INT"])
def test_a_warning_stops_with_a_checkpoint_and_the_next_life_goes_on(folder: Folder, way: str) -> None:
    run = folder.add(steps=6, seconds=0.3)
    folder.add()
    task = folder.start(HLB_JOB="slurm:5")
    wait(lambda: list(run.checkpoints.glob("*")))
    if way == "file":
        (folder.submission / "stop").touch()
    else:
        task.send_signal(getattr(signal, f"SIG{way}"))
    output, _ = task.communicate(timeout=20)
    assert task.returncode == RESUME, output
    assert folder.states() == ["stopped", "planned"]
    assert not run.stop_requested()
    (folder.submission / "stop").unlink(missing_ok=True)
    assert folder.work(HLB_JOB="slurm:5")[0] == 0
    assert folder.states() == ["completed"] * 2
    assert run.life_number() == 2


def test_a_failed_run_is_not_tried_again_by_the_requeued_job_but_by_a_retry(folder: Folder) -> None:
    folder.add(end="failed")
    folder.add()
    status, output = folder.work()
    assert (status, folder.states()) == (1, ["failed", "completed"])
    assert "ValueError: no" in output
    assert folder.work("--retry")[0] == 1
    assert folder.runs[0].life_number() == 1, "it failed in this very submission"
    time.sleep(0.01)
    (folder.submission / "1.txt").write_text("".join(f"{run.path}\n" for run in folder.runs))
    assert folder.work()[0] == 1
    assert folder.runs[0].life_number() == 1
    assert folder.work("--retry")[0] == 1
    assert folder.runs[0].life_number() == 2


def test_a_step_that_never_begins_the_training_has_failed(folder: Folder) -> None:
    run = folder.add(end="before")
    assert folder.work()[0] == 1
    assert run.state() is State.FAILED
    assert "before the training began: ImportError: nothing to import" in run.read_exit()["error"]


def test_a_step_without_an_exit_record_and_without_an_error_fails_the_second_time(folder: Folder) -> None:
    """Seen on a real Slurm: srun ends with 0 when the node that it runs on is taken for dead."""
    run = folder.add(end="silent")
    assert folder.work(HLB_JOB="slurm:5")[0] == RESUME
    assert folder.states() == ["lost"]
    assert folder.work(HLB_JOB="slurm:5")[0] == 1
    assert "the job script left no exit record, twice without progress" in run.read_exit()["error"]


def test_a_killed_step_goes_on_in_the_next_life_and_fails_the_second_time_without_progress(
    folder: Folder,
) -> None:
    once, always = folder.add(end="killed once"), folder.add(end="killed")
    status, output = folder.work("--side-by-side", "2", HLB_JOB="slurm:5")
    assert status == RESUME, output
    assert folder.states() == ["lost", "lost"]
    assert once.read_events()[-1]["kind"] == "cut off"
    status, output = folder.work("--side-by-side", "2", HLB_JOB="slurm:5")
    assert status == 1, output
    assert folder.states() == ["completed", "failed"]
    assert re.search("status -9.*twice without progress", always.read_exit()["error"])


def test_nothing_is_begun_after_so_many_failures(folder: Folder) -> None:
    for end in ("failed", "failed", None, None):
        folder.add(end=end)
    status, output = folder.work("--max-failures", "2")
    assert (status, folder.states()) == (1, ["failed", "failed", "planned", "planned"]), output
    assert "2 runs not begun: 2 have failed" in output


def test_cancelled_runs_are_left_alone_and_do_not_bring_the_job_back(folder: Folder) -> None:
    running, waiting = folder.add(steps=50, seconds=0.2), folder.add()
    task = folder.start()
    wait(lambda: list(running.checkpoints.glob("*")))
    waiting.request_stop(cancel=True)
    running.request_stop(cancel=True)
    output, _ = task.communicate(timeout=20)
    assert (task.returncode, folder.states()) == (0, ["cancelled"] * 2), output


def test_a_retry_takes_up_what_was_cancelled_before_it(folder: Folder) -> None:
    run = folder.add(steps=50, seconds=0.2)
    task = folder.start()
    wait(lambda: list(run.checkpoints.glob("*")))
    run.request_stop(cancel=True)
    task.communicate(timeout=20)
    assert run.read_exit()["state"] == "cancelled"
    (folder.path / "run0" / "run.json").write_text(json.dumps({**run.read_spec(), "point": {"steps": 2}}))
    assert folder.work()[0] == 0
    assert folder.states() == ["cancelled"]
    folder.add()  # writes the list anew: another submission
    run.request_stop(cancel=True)
    assert folder.work("--retry")[0] == 0
    assert folder.states() == ["cancelled", "completed"], "the mark of a later `hlb cancel` holds"
    run.clear_stop()
    assert folder.work("--retry")[0] == 0
    assert folder.states() == ["completed"] * 2


def elsewhere(run: RunDirectory, *, job: str | None = None, task: str | None = None, age: float = 0) -> None:
    run.begin_life("another")
    path = run.segments / "1" / "life.json"
    about = {"place": "elsewhere", "host": "node9", "job": job, "task": task, "time": time.time() - age}
    path.write_text(json.dumps({**json.loads(path.read_text()), **about}))


def test_the_orphan_of_this_job_is_superseded_at_once(folder: Folder) -> None:
    run = folder.add()
    elsewhere(run, job="slurm:5_2", task="earlier")
    assert run.state() is State.RUNNING
    assert folder.work(HLB_JOB="slurm:5_2")[0] == 0
    assert run.state() is State.COMPLETED
    assert run.life_number() == 2


def test_a_life_elsewhere_is_waited_for(folder: Folder) -> None:
    run = folder.add()
    elsewhere(run, job="slurm:4", task="t", age=295)  # five seconds from being too old
    task = folder.start(HLB_JOB="slurm:5")
    output, _ = task.communicate(timeout=40)
    assert task.returncode == 0, output
    assert "is alive (another on node9): looking again later" in output
    assert run.life_number() == 2


def test_a_damaged_run_folder_does_not_end_the_others(folder: Folder) -> None:
    folder.add().run_json.write_text("{")
    good = folder.add()
    status, output = folder.work()
    assert good.state() is State.COMPLETED, output
    assert status == 1, "a damaged folder does not mend itself in the job's next life"
    assert "run.json is missing or damaged" in output


def test_launchers_that_want_hosts_get_those_of_the_allocation(folder: Folder) -> None:
    for _ in range(4):
        folder.add(seconds=0.3)
    words = folder.submission / "words"
    launcher = ["sh", "-c", f'echo "$0" >> {words}; exec "$@"', "{hosts}"]
    allocation = {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_TASKS_PER_NODE": "1(x2)"}
    status, output = folder.work("--side-by-side", "2", launcher=launcher, **allocation)
    assert status == 0, output
    assert sorted(set(words.read_text().split())) == ["n1:1", "n2:1"]
    status, output = folder.work(launcher=launcher)
    assert status == 2
    assert "name no hosts" in output


def test_a_launcher_that_is_not_there_is_a_wrong_request(folder: Folder) -> None:
    folder.add()
    status, output = folder.work(launcher=["no-such-launcher"])
    assert status == 2
    assert "no-such-launcher cannot be started" in output
    assert folder.states() == ["planned"]


def test_no_launcher_and_no_list_are_wrong_requests(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.add()
    assert main(folder.arguments(launcher=())) == 2
    assert "launcher" in capsys.readouterr().err
    (folder.submission / "1.txt").unlink()
    assert main(folder.arguments()) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_the_ranks_end_with_the_task(folder: Folder) -> None:
    run = folder.add(steps=1000, seconds=0.1)
    task = folder.start()
    wait(lambda: list(run.checkpoints.glob("*")))
    task.kill()
    task.communicate()
    pid = run.life_record()["pid"]
    wait(lambda: run.state() is State.LOST)
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()


STUDY = """
name: hand
job: {job}
model: {{name: digits_cnn}}
data: {{name: digits}}
recipe:
  epochs: 1
  batch_size: 16
  reference: {{batch_size: 16, learning_rate: 0.1}}
  warmup: {{kind: gradual, epochs: 0}}
  scaling: linear
axes:
  recipe.batch_size: [16, 32]
seeds: [0, 1]
"""


def test_one_point_of_a_study_by_hand_is_the_same_run_as_in_the_sweep(folder: Folder, tmp_path: Path) -> None:
    from horovod_lb.study import expand, load_study

    study = tmp_path / "hand.yaml"
    study.write_text(STUDY.format(job=JOB))
    words = ["--study", str(study), "--set", "recipe.batch_size=32", "--stop", str(tmp_path / "stop")]
    done = subprocess.run(
        [sys.executable, "-m", "horovod_lb.batch.task", *words, "--ranks", "1", "--", "env"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HLB_RUNS": str(tmp_path / "runs")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    wanted = {run.run_id for run in expand(load_study(study)) if run.point["recipe.batch_size"] == 32}
    assert {path.name for path in (tmp_path / "runs" / "hand").iterdir()} == wanted
    assert len(wanted) == 2
