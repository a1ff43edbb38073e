from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from horovod_lb.runs import RunDirectory


def hlb(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "horovod_lb.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def make_run(folder: Path, run_id: str, batch_size: int, seed: int = 0) -> RunDirectory:
    point = {"recipe.batch_size": batch_size}
    spec = {
        "schema": 1,
        "run_id": run_id,
        "study": folder.name,
        "point": point,
        "seed": seed,
        "recipe": {"batch_size": batch_size},
        "derived": {"workers": 2},
    }
    return RunDirectory(folder / run_id).create(spec)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with one study of a run in each state."""
    root = tmp_path_factory.mktemp("runs")
    study = root / "demo"
    make_run(study, "aa11", 512)
    life = make_run(study, "ab22", 64).begin_life()
    life.append_metrics({"epoch": 3, "val_accuracy": 0.9876})
    life.heartbeat(epoch=2, epochs=3, accuracy=0.9, images_per_second=1.0, seconds_left=9)  # somewhat earlier
    life.finish("completed", images_per_second=12345.6)
    failed = make_run(study, "cd33", 128).begin_life()
    (failed.directory / "log").write_text("line 1\nline 2\nline 3\n")
    failed.finish("failed", error="Traceback\nValueError: the rate is purple")
    script = (
        "import sys; from horovod_lb.runs import RunDirectory as R;"
        "l = R(sys.argv[1]).begin_life(); l.heartbeat(epoch=1, epochs=3, accuracy=0.5)"
    )
    lost = make_run(study, "ef44", 256, seed=1)
    subprocess.run([sys.executable, "-c", script, lost.path], check=True)
    (lost.segments / "1" / "log").write_text("MemoryError: no room\n")
    damaged = study / "ff55"
    damaged.mkdir()
    (damaged / "run.json").write_text("{")
    (study / "sessions").mkdir()
    return root


def test_the_table_has_a_row_a_run_in_the_order_of_the_points(runs: Path) -> None:
    done = hlb("status", "demo", "--runs", runs)
    assert done.returncode == 0, done.stderr
    header, *rows, summary = done.stdout.splitlines()
    assert header.split() == ["run", "point", "state", "epoch", "accuracy", "images/s", "left"]
    by_id = {row.split()[0]: row for row in rows}
    assert [row.split()[0] for row in rows if not row.startswith("ff")] == ["ab22", "cd33", "ef44", "aa11"]
    assert by_id["ab22"].split() == [
        "ab22",
        "batch_size=64",
        "seed=0",
        "completed",
        "3/3",
        "0.9876",
        "12,346",
    ]
    assert by_id["cd33"].endswith("ValueError: the rate is purple")
    assert by_id["ef44"].split()[2:6] == ["seed=1", "lost", "1/3", "0.5000"]
    assert by_id["ef44"].endswith("MemoryError: no room")
    assert by_id["aa11"].split()[3:] == ["planned"]
    assert "unknown" in by_id["ff55"]
    assert "missing or damaged" in by_id["ff55"]
    assert summary.startswith("5 runs: ")
    assert all(f"1 {state}" in summary for state in ("planned", "completed", "failed", "lost", "unknown"))


def test_json_has_everything(runs: Path) -> None:
    found = json.loads(hlb("status", "demo", "--runs", runs, "--json").stdout)
    assert found["counts"] == {"planned": 1, "completed": 1, "failed": 1, "lost": 1, "unknown": 1}
    run = next(run for run in found["runs"] if run["run_id"] == "ab22")
    assert run == {
        "run_id": "ab22",
        "point": {"recipe.batch_size": 64},
        "seed": 0,
        "state": "completed",
        "epoch": 3,
        "epochs": 3,
        "accuracy": 0.9876,
        "images_per_second": 12345.6,
        "seconds_left": None,
        "error": None,
        "job": None,
        "job_state": None,
        "reason": None,
        "job_seconds_left": None,
        "nodes": None,
    }
    assert found["problem"] is None


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("state == 'completed'", {"ab22"}),
        ("recipe.batch_size >= 128 and seed == 0", {"aa11", "cd33"}),
        ("workers == 2 and state != 'planned'", {"ab22", "cd33", "ef44"}),
    ],
)
def test_where_chooses_runs_by_study_keys_and_state(runs: Path, where: str, ids: set[str]) -> None:
    found = json.loads(hlb("status", "demo", "--runs", runs, "--json", "--where", where).stdout)
    assert {run["run_id"] for run in found["runs"]} - {"ff55"} == ids


def test_a_study_is_found_by_file_name_folder_and_environment(runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("# about\nname: demo   # a comment\naxes: [broken\n")
    expected = hlb("status", "demo", "--runs", runs).stdout
    assert hlb("status", file, "--runs", runs).stdout == expected
    assert hlb("status", runs / "demo").stdout == expected
    assert hlb("status", "demo", env={"HLB_RUNS": str(runs)}).stdout == expected


@pytest.mark.parametrize(
    ("target", "message"),
    [("nothing", "no runs in"), ("no.yaml", "cannot read"), ("empty.yaml", "no line `name")],
)
def test_a_study_that_is_not_there_is_a_wrong_request(
    runs: Path, tmp_path: Path, target: str, message: str
) -> None:
    (tmp_path / "empty.yaml").write_text("job: x\n")
    done = hlb("status", target, "--runs", runs, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def cpu_seconds_of_children() -> float:
    """CPU time, which does not grow when other work shares the machine; waiting for the disk is not in it."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize(("count", "limit"), [(20, 0.4), (10_000, 5.0)])
def test_status_is_fast_and_imports_no_tensorflow(tmp_path: Path, count: int, limit: float) -> None:
    for number in range(count):
        run = RunDirectory(tmp_path / "s" / f"{number:06d}")
        # Without the syncs of `create`: how fast this disk is does not matter here.
        run.path.mkdir(parents=True)
        spec = {"run_id": run.path.name, "point": {"recipe.batch_size": number}, "seed": 0, "derived": {}}
        run.run_json.write_text(json.dumps({**spec, "recipe": {str(key): key for key in range(60)}}))
        if number % 10 == 0:
            record = {"life": 1, "time": 0.0, "pid": 1, "place": "elsewhere"}
            (run.segments / "1").mkdir(parents=True)
            (run.segments / "1" / "life.json").write_text(json.dumps(record))
            run.heartbeat_json.write_text(json.dumps({**record, "epoch": 3, "accuracy": 0.5}))
        if number % 20 == 0:
            run.exit_json.write_text(json.dumps({"life": 1, "state": "completed"}))
    script = (
        "import sys, horovod_lb.cli.main as m\n"
        "try:\n    m.main(['status', sys.argv[1]])\n"
        "finally:\n    print('tensorflow' in sys.modules, 'numpy' in sys.modules, 'horovod' in sys.modules)"
    )
    seconds = []
    for _ in range(3):
        began = cpu_seconds_of_children()
        done = subprocess.run(
            [sys.executable, "-c", script, tmp_path / "s"], capture_output=True, text=True, check=True
        )
        seconds.append(cpu_seconds_of_children() - began)
    lines = done.stdout.splitlines()
    assert lines[-1] == "False False False"
    assert f"{count} runs" in lines[-2]
    assert min(seconds) < limit
