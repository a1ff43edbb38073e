from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sweep_program import spec

from horovod_lb.errors import RunDirectoryError
from horovod_lb.runs import Life, RunDirectory, State
from horovod_lb.runs.atomic import write_json
from horovod_lb.sweep import abandoned

DESCRIBE = (
    "import json; from horovod_lb.runs.life import describe_this_process as me; print(json.dumps(me()))"
)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / spec(0)["run_id"]).create(spec(0))


def life_elsewhere(run: RunDirectory, monkeypatch: pytest.MonkeyPatch, task: str | None) -> Life:
    """A life that another host began a moment ago, in a session that is called `task`."""
    if task is not None:
        monkeypatch.setenv("HLB_TASK", task)
    life = run.begin_life("session")
    record = run.segments / str(life.number) / "life.json"
    write_json(record, {**json.loads(record.read_text()), "place": "another host", "host": "far"})
    assert run.state() is State.RUNNING
    return life


def supervisor(run: RunDirectory, *, alive: bool) -> None:
    sweep = run.path.parent / "sessions" / "20260101-000000"
    sweep.mkdir(parents=True)
    if alive:
        abandoned.sign(sweep)
    else:
        ended = subprocess.run([sys.executable, "-c", DESCRIBE], capture_output=True, text=True, check=True)
        write_json(sweep / abandoned.SUPERVISOR, json.loads(ended.stdout))


TASK = "20260101-000000/session-1"


def test_a_life_whose_sweep_has_ended_is_fenced_off_and_goes_on(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = life_elsewhere(run, monkeypatch, TASK)
    supervisor(run, alive=False)
    assert abandoned.state(run) is State.STOPPED
    with pytest.raises(RunDirectoryError):
        orphan.append_metrics({"epoch": 1})
    assert run.begin_life("the next sweep").number == 3


def test_a_life_whose_sweep_lives_is_left_alone(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    life_elsewhere(run, monkeypatch, TASK)
    supervisor(run, alive=True)
    assert abandoned.state(run) is State.RUNNING


def test_a_supervisor_on_another_machine_may_live(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    life_elsewhere(run, monkeypatch, TASK)
    supervisor(run, alive=False)
    path = run.path.parent / "sessions" / "20260101-000000" / abandoned.SUPERVISOR
    write_json(path, {**json.loads(path.read_text()), "place": "another host"})
    assert abandoned.state(run) is State.RUNNING


@pytest.mark.parametrize("task", [None, "4711", "a/b/c", "../../etc/session-1"])
def test_lives_of_others_are_left_alone(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, task: str | None
) -> None:
    life_elsewhere(run, monkeypatch, task)
    assert abandoned.state(run) is State.RUNNING


def test_states_without_a_life_are_as_they_are(run: RunDirectory) -> None:
    assert abandoned.state(run) is State.PLANNED
