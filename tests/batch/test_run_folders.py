"""Run folders made by the thousand: the same as one by one, and whole at every moment."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from planning import machine, specs

from horovod_lb.batch.folders import create_runs, study_folder
from horovod_lb.errors import RequestError, RunDirectoryError
from horovod_lb.runs import RunDirectory, run_directories


def test_they_are_those_of_create(tmp_path: Path) -> None:
    runs = specs(50)
    create_runs(tmp_path / "many", runs)
    for run in runs:
        alone = RunDirectory(tmp_path / "alone" / run["run_id"]).create(run)
        many = RunDirectory(tmp_path / "many" / run["run_id"])
        assert many.run_json.read_bytes() == alone.run_json.read_bytes()
        assert [path.name for path in many.path.iterdir()] == ["run.json"]


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    runs = specs(3)
    create_runs(tmp_path, runs[:2])
    before = RunDirectory(tmp_path / "r00000").run_json.stat().st_mtime_ns
    create_runs(tmp_path, runs)
    assert RunDirectory(tmp_path / "r00000").run_json.stat().st_mtime_ns == before
    assert len(list(run_directories(tmp_path))) == 3
    RunDirectory(tmp_path / "r00009").create(runs[0])
    with pytest.raises(RunDirectoryError, match="holds run r00000"):
        create_runs(tmp_path, specs(10))


@pytest.mark.parametrize("after", [5, 55, 105, 155])
def test_a_crash_leaves_no_half_written_run(tmp_path: Path, after: int) -> None:
    """100 temporary files are written, then 100 renamed; the process dies at the n-th of both together."""
    script = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from planning import specs
from horovod_lb.batch.folders import create_runs
calls = []
def dying(whole):
    def wrapped(*arguments, **options):
        calls.append(1)
        if len(calls) > {after}:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(*arguments, **options)
    return wrapped
Path.write_bytes, Path.replace = dying(Path.write_bytes), dying(Path.replace)
create_runs(Path({str(tmp_path)!r}), specs(100))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    whole = list(run_directories(tmp_path))
    assert len(whole) == max(0, after - 100)
    assert all(run.read_spec()["run_id"] == run.path.name for run in whole)
    create_runs(tmp_path, specs(100))
    assert len(list(run_directories(tmp_path))) == 100


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="nothing was sent"):
        create_runs(tmp_path / "file", specs(2))


def test_where_the_runs_of_a_study_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = machine(storage={"scratch": "$THERE/x"})
    monkeypatch.delenv("HLB_RUNS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert study_folder(None, machine(), "s") == tmp_path / "runs" / "s"
    monkeypatch.setenv("THERE", "/scratch")
    assert study_folder(None, scratch, "s") == Path("/scratch/x/s")
    assert study_folder("mine", scratch, "s") == tmp_path / "mine" / "s"
    monkeypatch.setenv("HLB_RUNS", "/env")
    assert study_folder(None, scratch, "s") == Path("/env/s")
    monkeypatch.delenv("HLB_RUNS")
    monkeypatch.delenv("THERE")
    with pytest.raises(RequestError, match=r"\$THERE/x"):
        study_folder(None, scratch, "s")
    # Each of them ends a line for `str.splitlines`, with which listings are read.
    for broken in ("a\nb", "a\r", "a\vb", "a\x1cb", "a\x85b", "a\u2028b"):
        with pytest.raises(RequestError, match="line break"):
            study_folder(broken, machine(), "s")
    for unprintable in ("a\udcffb", "a\x1bb"):
        with pytest.raises(RequestError, match="cannot be printed"):
            study_folder(unprintable, machine(), "s")
    assert study_folder("/ä b", machine(), "s") == Path("/ä b/s")
