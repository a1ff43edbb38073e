"""`hlb collect` and `hlb report` as commands."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def hlb(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line as a user does, on the tree under test."""
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(
        [sys.executable, "-m", "horovod_lb.cli.main", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(root), "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two batch sizes, one of which diverged, in runs/made."""
    for batch, state, loss in ((64, "completed", 0.1), (128, "diverged", "nan")):
        folder = tmp_path / "runs" / "made" / f"b{batch}"
        (folder / "segments" / "1").mkdir(parents=True)
        spec = {"run_id": f"b{batch}", "study": "made", "point": {"recipe.batch_size": batch}, "seed": 0}
        (folder / "run.json").write_text(json.dumps(spec))
        (folder / "metrics.csv").write_text(f"epoch,train_loss,val_accuracy\n1,{loss},0.875\n")
        (folder / "exit.json").write_text(json.dumps({"state": state, "life": 1}))
    return tmp_path / "runs"


TABLE = """\
batch size  accuracy (%)
        64     87.50 (1)
       128  diverged (1)
Final validation accuracy in percent, mean ± standard deviation (n runs).
2 runs: 1 completed, 1 diverged.
"""


@pytest.mark.parametrize("target", ["made", "runs/made"])
def test_collect_prints_the_accuracy_table_and_where_the_others_are(runs: Path, target: str) -> None:
    done = hlb("collect", target, cwd=runs.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{TABLE}Tables: results/made\n"
    written = {
        str(path.relative_to(runs.parent / "results" / "made"))
        for path in runs.parent.rglob("results/made/**/*")
    }
    assert written >= {
        "runs.csv", "epochs.csv", "accuracy.csv", "accuracy_wide.csv", "error_wide.csv", "differences.csv",
        "best.csv", "provenance.json", "tables/accuracy.md", "tables/accuracy.tex",
    }  # fmt: skip


def test_report_collects_first_and_names_the_page(runs: Path) -> None:
    done = hlb("report", "made", "--runs", "runs", "--out", "here", cwd=runs.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "Report: here/report.html"
    assert "<svg" in (runs.parent / "here" / "report.html").read_text()
    assert (runs.parent / "here" / "accuracy.csv").exists()


def on_terminal(columns: int, cwd: Path) -> str:
    """What `hlb collect made` writes to a pseudo-terminal of so many columns, without colours."""
    leader, follower = pty.openpty()
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "TERM": "xterm-256color", "COLUMNS": str(columns)}
    with subprocess.Popen(
        [sys.executable, "-m", "horovod_lb.cli.main", "collect", "made"],
        cwd=cwd,
        env={name: value for name, value in environment.items() if name != "NO_COLOR"},
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
    ) as process:
        os.close(follower)
        shown = b""
        with contextlib.suppress(OSError):  # the end of a pseudo-terminal
            while part := os.read(leader, 4096):
                shown += part
    os.close(leader)
    assert process.returncode == 0
    return shown.decode().replace("\r\n", "\n")


def test_on_a_terminal_diverged_cells_are_red(runs: Path) -> None:
    text = on_terminal(80, runs.parent)
    assert "\x1b[31mdiverged (1)" in text
    assert "\x1b[31m   87.50" not in text and "87.50 (1)" in text


def test_a_table_too_wide_for_the_terminal_is_printed_a_row_a_point(runs: Path) -> None:
    shutil.copytree(runs / "made" / "b64", runs / "made" / "again")
    for folder, warmup in (("b64", 5), ("b128", 0), ("again", 0)):
        file = runs / "made" / folder / "run.json"
        spec = json.loads(file.read_text())
        spec["run_id"] = folder
        spec["point"]["recipe.warmup.epochs"] = warmup
        file.write_text(json.dumps(spec))
    colours = re.compile(r"\x1b\[[0-9;]*m")
    wide, narrow = (
        [line.split() for line in colours.sub("", on_terminal(columns, runs.parent)).splitlines()]
        for columns in (80, 45)
    )
    assert ["64", "87.50", "(1)", "87.50", "(1)"] in wide and ["128", "diverged", "(1)"] in wide
    assert ["64", "5", "87.50", "(1)"] in narrow and ["128", "0", "diverged", "(1)"] in narrow


def test_wrong_requests_exit_with_two_and_one_line(runs: Path) -> None:
    done = hlb("collect", "nothing", cwd=runs.parent)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("hlb: nothing is neither a study file") and done.stderr.count("\n") == 1


def test_provenance_holds_the_digests_of_the_tables(runs: Path) -> None:
    import hashlib

    hlb("collect", "made", cwd=runs.parent)
    out = runs.parent / "results" / "made"
    said = json.loads((out / "provenance.json").read_text())
    assert said["runs"] == {"completed": 1, "diverged": 1}
    assert set(said["tables_sha256"]) == {path.name for path in out.glob("*.csv")}
    for name, digest in said["tables_sha256"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize(
    ("verb", "never"),
    [
        ("collect", ["tensorflow", "keras", "horovod", "matplotlib", "pandas", "rich"]),
        ("report", ["tensorflow", "keras", "horovod", "pandas"]),
    ],
)
def test_what_is_not_needed_is_not_imported(runs: Path, verb: str, never: list[str]) -> None:
    code = (
        "import sys\nfrom horovod_lb.cli.main import main\n"
        f"try: main([{verb!r}, 'made'])\nexcept SystemExit as end: assert not end.code\n"
        f"print(sorted(set({never!r}) & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=runs.parent,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "[]"
