from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from horovod_lb.errors import RunDirectoryError
from horovod_lb.runs import RunDirectory, State
from horovod_lb.runs import life as lives


def spec(**changes: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "run_id": "a1b2",
        "study": "s",
        "point": {"recipe.batch_size": 64},
        "seed": 3,
        **changes,
    }


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "s" / "a1b2").create(spec())


def forge_life(run: RunDirectory, number: int, **record: Any) -> None:
    """A life of another process."""
    about = {"life": number, "time": 1000.0, "owner": "forged", **lives.describe_this_process(), **record}
    assert lives.claim(run.segments, number, about)


def test_the_names_of_the_files_are_those_of_the_design(run: RunDirectory) -> None:
    life = run.begin_life()
    life.append_metrics({"epoch": 1})
    life.heartbeat(epoch=1)
    life.provenance({"git": "abc"})
    run.request_stop()
    names = {"run.json", "metrics.csv", "heartbeat.json", "events.jsonl", "segments", "STOP"}
    assert {entry.name for entry in run.path.iterdir()} == names
    assert {entry.name for entry in life.directory.iterdir()} == {"life.json", "provenance.json"}
    assert life.directory == run.path / "segments" / "1"
    assert run.checkpoints == run.path / "checkpoints"
    life.finish("completed")
    assert (run.path / "exit.json").exists()


def test_run_json_is_frozen_and_another_run_is_refused(run: RunDirectory) -> None:
    run.create(spec(resources={"workers": 7}))
    assert run.read_spec() == spec()
    with pytest.raises(RunDirectoryError, match="holds run a1b2, not c3d4"):
        run.create(spec(run_id="c3d4"))


def test_states_follow_the_files(run: RunDirectory, tmp_path: Path) -> None:
    assert RunDirectory(tmp_path / "nothing").state() is State.UNKNOWN
    assert run.state() is State.PLANNED
    life = run.begin_life()
    assert run.state() is State.RUNNING
    life.finish("stopped", reason="asked to")
    assert run.state() is State.STOPPED
    assert not run.state().final
    second = run.begin_life()
    assert run.state() is State.RUNNING, "the exit record of the first life must not count any more"
    assert run.read_exit() is None
    second.finish("diverged", outcome="nan", reason="loss is not finite", step=12)
    assert run.state() is State.DIVERGED
    record = run.read_exit()
    assert record is not None
    assert (record["life"], record["outcome"], record["step"]) == (2, "nan", 12)


def test_a_life_whose_process_is_gone_is_lost_and_never_a_success(run: RunDirectory) -> None:
    forge_life(run, 1, process_start=1)  # this process id, but it began at another time: an id used again
    run.heartbeat_json.write_text(json.dumps({"life": 1, "epoch": 9, "epochs": 9, "time": 9e12}))
    assert run.state() is State.LOST
    assert run.begin_life().number == 2


def test_a_life_on_another_host_lives_as_long_as_its_heartbeat(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge_life(run, 1, place="elsewhere", host="elsewhere", time=1000.0)
    now = 1000.0
    monkeypatch.setattr(lives.time, "time", lambda: now)
    assert run.state() is State.RUNNING
    now = 1000.0 + lives.STALE_SECONDS + 1
    assert run.state() is State.LOST
    run.heartbeat_json.write_text(json.dumps({"life": 1, "time": now - 5}))
    assert run.state() is State.RUNNING
    with pytest.raises(RunDirectoryError, match=r"life 1 is alive \(forged, process \d+ on elsewhere\)"):
        run.begin_life()
    run.heartbeat_json.write_text(json.dumps({"life": 0, "time": now - 5}))
    assert run.state() is State.LOST, "the heartbeat of an earlier life says nothing"


def test_only_the_newest_life_may_write(run: RunDirectory) -> None:
    old = run.begin_life()
    old.append_metrics({"epoch": 1})
    forge_life(run, 2)
    files = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    writes = (
        lambda: old.append_metrics({"epoch": 2}),
        lambda: old.truncate_metrics(0),
        lambda: old.heartbeat(epoch=2),
        lambda: old.event("late"),
        lambda: old.provenance({}),
        lambda: old.finish("completed"),
    )
    for write in writes:
        with pytest.raises(RunDirectoryError, match="life 2 owns the run now"):
            write()
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == files


def test_nothing_is_written_after_the_end(run: RunDirectory) -> None:
    life = run.begin_life()
    life.finish("completed")
    with pytest.raises(RunDirectoryError, match="finished"):
        life.finish("failed")
    assert run.state() is State.COMPLETED


@pytest.mark.parametrize("state", ["completed", "diverged"])
def test_a_result_is_never_made_a_second_time(run: RunDirectory, state: str) -> None:
    run.begin_life().finish(state)
    with pytest.raises(RunDirectoryError, match=f"is {state}; results are not overwritten"):
        run.begin_life()


@pytest.mark.parametrize("state", ["stopped", "failed", "cancelled"])
def test_other_ends_can_be_taken_up_again(run: RunDirectory, state: str) -> None:
    run.begin_life().finish(state)
    assert run.begin_life().number == 2


@pytest.mark.parametrize("state", ["lost", "running", "planned", "unknown"])
def test_a_run_cannot_end_as_what_is_no_end(run: RunDirectory, state: str) -> None:
    with pytest.raises(ValueError, match=state):
        run.begin_life().finish(state)


def test_one_process_can_take_over_from_itself_only_when_it_says_so(run: RunDirectory) -> None:
    first = run.begin_life()
    with pytest.raises(RunDirectoryError, match="alive"):
        run.begin_life()
    second = run.begin_life(take_over=True)
    assert second.number == 2
    with pytest.raises(RunDirectoryError, match="life 2 owns"):
        first.heartbeat()


def test_a_request_to_stop_lasts_until_the_run_ends(run: RunDirectory) -> None:
    assert not run.stop_requested()
    run.request_stop()
    life = run.begin_life()
    assert run.stop_requested()
    life.finish("stopped")
    assert not run.stop_requested()
    run.clear_stop()


def test_a_failure_is_recorded_for_a_life_that_could_not(run: RunDirectory) -> None:
    forge_life(run, 1, process_start=1)
    run.record_failure("MemoryError: no room")
    assert run.state() is State.FAILED
    record = run.read_exit()
    assert record is not None
    assert record["error"] == "MemoryError: no room"
    assert record["wall_seconds"] > 1e9, "counted from the beginning of the life, in 1970"
    run.record_failure("something later")
    assert run.read_exit() == record


def test_a_failure_before_the_life_began_is_recorded(run: RunDirectory) -> None:
    run.record_failure("ImportError: no module")
    assert run.state() is State.FAILED


def test_a_result_is_not_turned_into_a_failure(run: RunDirectory) -> None:
    run.begin_life().finish("completed")
    run.record_failure("the ranks fell over when they left")
    assert run.state() is State.COMPLETED


def test_events_survive_damage(run: RunDirectory) -> None:
    life = run.begin_life()
    life.event("epoch", number=1)
    with run.events_jsonl.open("a") as file:
        file.write("not json\n[1]\n")
    life.event("epoch", number=2)
    with run.events_jsonl.open("a") as file:
        file.write('{"kind": "epoch", "number"')
    kinds = [(event["kind"], event.get("number")) for event in run.read_events()]
    assert kinds == [("begin", None), ("epoch", 1), ("epoch", 2)]
    life.event("epoch", number=3)
    assert [event.get("number") for event in run.read_events()] == [None, 1, 2, 3]


@pytest.mark.parametrize("name", ["heartbeat.json", "exit.json", "segments/1/life.json"])
def test_an_empty_file_after_a_power_cut_counts_as_missing(run: RunDirectory, name: str) -> None:
    life = run.begin_life()
    life.heartbeat(epoch=1)
    life.finish("completed")
    (run.path / name).write_bytes(b"")
    assert run.state() is (State.COMPLETED if name == "heartbeat.json" else run.state())
    if name == "exit.json":
        assert run.state() in (State.RUNNING, State.LOST)


def test_a_missing_or_damaged_run_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"run\.json is missing or damaged"):
        RunDirectory(tmp_path).begin_life()
