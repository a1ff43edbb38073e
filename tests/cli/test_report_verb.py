"""`hlb report`: once, from tables, and while runs go on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A run that is completed, and one that is stopped after an epoch, in runs/made."""
    for number, state in ((1, "completed"), (2, "stopped")):
        folder = tmp_path / "runs" / "made" / f"r{number}"
        (folder / "segments" / "1").mkdir(parents=True)
        spec = {"run_id": f"r{number}", "study": "made", "point": {"recipe.batch_size": 64}, "seed": number}
        (folder / "run.json").write_text(json.dumps(spec))
        (folder / "metrics.csv").write_text("epoch,train_loss,val_accuracy\n1,0.5,0.875\n")
        (folder / "exit.json").write_text(json.dumps({"state": state, "life": 1}))
    return tmp_path


@contextmanager
def hlb(*arguments: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """The command line as a user starts it, on the tree under test; it is ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "horovod_lb.cli.main", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def live(page: Path) -> object:
    found = re.search(r'id="data-page">(.*?)</script>', page.read_text())
    assert found
    return json.loads(found[1])["live"]


def test_live_writes_again_when_runs_got_further_and_ends_with_them(study: Path) -> None:
    page = study / "results" / "made" / "report.html"
    run = study / "runs" / "made" / "r2"
    with hlb("report", "made", "--live", "--every", "1", "--no-figures", cwd=study) as process:
        assert process.stdout
        first = process.stdout.readline()
        assert re.fullmatch(
            r"\d\d:\d\d:\d\d  2 runs: 1 stopped, 1 completed\. Report: results/made/report\.html\n", first
        )
        about = live(page)
        assert isinstance(about, dict) and about["every"] == 1
        assert process.stdout.readline().endswith("nothing new\n")
        with (run / "metrics.csv").open("a") as file:
            file.write("2,0.4,0.9375\n")
        lines = [process.stdout.readline()]
        while "nothing new" in lines[-1]:
            lines.append(process.stdout.readline())
        assert "1 stopped" in lines[-1] and "Report:" in lines[-1]
        (run / "exit.json").write_text(json.dumps({"state": "completed", "life": 1}))
        rest, error = process.communicate(timeout=300)
        assert (process.returncode, error) == (0, "")
        assert rest.splitlines()[-1].endswith("2 runs: 2 completed. Report: results/made/report.html")
    assert live(page) is None
    assert not (page.parent / "figures").exists()


def test_ctrl_c_leaves_a_report_that_looks_for_nothing(study: Path) -> None:
    with hlb("report", "made", "--live", "--no-figures", cwd=study) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=300)
        assert process.returncode == 130 and rest == ""
    assert live(study / "results" / "made" / "report.html") is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--every", "5"], "--every says how often --live looks"),
        (["--live"], "holds tables, no runs"),
    ],
)
def test_requests_that_make_no_sense_are_refused(study: Path, options: list[str], said: str) -> None:
    (study / "tables").mkdir()
    (study / "tables" / "runs.csv").write_text("run_id,batch_size,final_val_accuracy\na,64,0.5\n")
    with hlb("report", "tables", *options, cwd=study) as process:
        _, error = process.communicate(timeout=300)
    assert process.returncode == 2 and said in " ".join(error.split())


def test_tables_make_a_report_beside_them(study: Path) -> None:
    (study / "tables").mkdir()
    (study / "tables" / "runs.csv").write_text("run_id,batch_size,final_val_accuracy\na,64,0.5\nb,128,0.75\n")
    with hlb("report", "tables", "--no-figures", cwd=study) as process:
        said, error = process.communicate(timeout=300)
    assert (process.returncode, error) == (0, "")
    assert said.splitlines()[-1] == "Report: tables/report.html"
    assert ">75.00 (1)<" in (study / "tables" / "report.html").read_text()
    assert sorted(file.name for file in (study / "tables").iterdir()) == ["report.html", "runs.csv"]
