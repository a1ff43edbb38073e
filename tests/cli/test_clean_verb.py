"""`hlb clean`: shows first, frees by kind, and never takes what somebody may need."""

from __future__ import annotations

import subprocess
import sys
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


def tree(study: Path) -> set[str]:
    return {str(path.relative_to(study)) for path in study.rglob("*") if path.is_file()}


@pytest.fixture
def study(tmp_path: Path, commands: StandIns) -> Path:
    """A run of each kind, each with two lives, a log in both and a checkpoint, but `anew`, which has none."""
    study = tmp_path / "s"
    states = ("done", "failed", "lost", "anew", "stopped", "alive", "again")
    for number, name in enumerate(states):
        run = make_run(study, name, 2**number)
        for life in (1, 2):
            segment = live(run, f"slurm:{number}", sign=5 if name == "alive" else 900, number=life)
            (segment / "log").write_text("x" * 100)
            (segment / "provenance.json").write_text("{}")
        if name != "anew":
            run.checkpoints.mkdir()
            (run.checkpoints / "step-000000007.npz").write_bytes(b"x" * 5000)
            (run.checkpoints / "best.npz").hardlink_to(run.checkpoints / "step-000000007.npz")
        if name in ("done", "failed", "stopped"):
            end(run, "completed" if name == "done" else name, life=2, ago=7200 if name == "failed" else 30)
    make_run(study, "waits")
    make_run(study, "planned")
    return study


@pytest.fixture
def sent(study: Path, commands: StandIns) -> Path:
    """`done` was sent alone; `waits` waits, and `again` goes on in its requeued job."""
    over = submit(study, (["done"], ["100"]))
    (over.folder / "done.log").write_text("the launcher\n")
    submit(study, (["waits"], ["101"]), (["again"], ["102"]))
    commands.answer("squeue", queue("100 COMPLETED None", "101 PENDING Priority", "102 PENDING BeginTime"))
    return study


def test_without_options_it_shows_and_deletes_nothing(sent: Path, commands: StandIns) -> None:
    before = tree(sent)
    done = hlb(commands, "clean", sent)
    assert done.returncode == 0, done.stderr
    rows = {line.split("  ")[0]: line.split() for line in done.stdout.splitlines()}
    # Logs of earlier lives: done, lost, stopped; of launchers: that of done, with its lives.
    assert rows["checkpoints of runs with a result"][-4:] == ["1", "4.9", "KiB", "--checkpoints"]
    assert rows["logs of earlier lives and of launchers"][-4:] == ["3", "313", "B", "--segments"]
    assert rows["folders of failed, cancelled and lost runs"][-4] == "2"
    assert rows["submissions that are over"][-4] == "1"
    assert tree(sent) == before


@pytest.mark.parametrize(
    ("option", "gone"),
    [
        ("--checkpoints", {"done/checkpoints/step-000000007.npz", "done/checkpoints/best.npz"}),
        ("--segments", {"done/segments/1/log", "lost/segments/1/log", "stopped/segments/1/log"}),
    ],
)
def test_a_kind_is_freed_and_nothing_else(
    sent: Path, commands: StandIns, option: str, gone: set[str]
) -> None:
    before = tree(sent)
    assert hlb(commands, "clean", sent, option, "--dry-run").returncode == 0
    assert tree(sent) == before
    assert hlb(commands, "clean", sent, option, "--yes").returncode == 0
    freed = {name for name in before - tree(sent) if not name.startswith("submissions")}
    assert freed == gone
    assert not tree(sent) - before


def test_everything_leaves_alive_waiting_and_resumable_runs_alone(sent: Path, commands: StandIns) -> None:
    before = tree(sent)
    assert hlb(commands, "clean", sent, "--all", "--yes").returncode == 0
    after = tree(sent)
    for name in ("alive", "again", "waits", "planned"):
        assert {path for path in before - after if path.startswith(name)} == set()
    assert {path.split("/")[0] for path in after} == {
        *("done", "lost", "stopped", "alive", "again", "waits", "planned", "submissions")
    }
    for name in ("lost", "stopped"):
        assert f"{name}/checkpoints/step-000000007.npz" in after
    assert {"done/exit.json", "done/segments/1/provenance.json", "done/segments/2/log"} <= after
    assert len([path for path in after if path.endswith("submission.json")]) == 1
    assert "nothing to delete" in hlb(commands, "clean", sent, "--all", "--yes").stdout


def test_a_silent_scheduler_saves_everything_that_was_sent(sent: Path, commands: StandIns) -> None:
    live_before = tree(sent)
    submit(sent, (["anew", "lost", "failed"], ["103"]), pack=3)
    commands.answer("squeue", err="slurm_load_jobs error: Unable to contact slurm controller", status=1)
    done = hlb(commands, "clean", sent, "--all", "--yes")
    assert "left alone" in done.stderr
    kept = tree(sent)
    for name in ("anew", "lost", "failed", "again", "waits"):
        assert {path for path in live_before - kept if path.startswith(name)} == set()
    assert len([path for path in kept if path.endswith("submission.json")]) == 3


def test_nothing_is_deleted_where_nobody_can_be_asked(study: Path, commands: StandIns) -> None:
    before = tree(study)
    done = hlb(commands, "clean", study, "--all")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert tree(study) == before


def test_a_local_study_needs_no_scheduler(study: Path, commands: StandIns) -> None:
    assert hlb(commands, "clean", study, "--failed", "--yes").returncode == 0
    names = {path.name for path in study.iterdir()}
    assert names == {"done", "lost", "stopped", "alive", "again", "waits", "planned"}
    assert commands.calls("squeue") == []
