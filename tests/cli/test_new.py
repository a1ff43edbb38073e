"""`hlb new`: the shipped studies, listed and written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from horovod_lb.study.shipped import shipped_studies

ROOT = Path(__file__).parents[2]


def hlb(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "horovod_lb.cli.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )


def test_list(tmp_path):
    lines = hlb("new", cwd=tmp_path).stdout.splitlines()
    assert [line.split("  ")[0] for line in lines] == list(shipped_studies())
    assert all(len(line.split("  ", 1)[1]) > 10 for line in lines)


def test_write_then_plan(tmp_path):
    done = hlb("new", "demo", cwd=tmp_path)
    assert done.stdout == "Wrote demo.yaml. Next: hlb plan demo.yaml\n"
    assert (tmp_path / "demo.yaml").read_bytes() == shipped_studies()["demo"].read_bytes()
    assert hlb("plan", "demo.yaml", cwd=tmp_path).returncode == 0


def test_nothing_is_overwritten(tmp_path):
    target = tmp_path / "mine.yaml"
    target.write_text("mine")
    done = hlb("new", "demo", "--out", target, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"hlb: {target} is there already; choose another file with --out\n"
    assert target.read_text() == "mine"


def test_wrong_requests(tmp_path):
    assert "there is no study 'dem'; did you mean demo?" in hlb("new", "dem", cwd=tmp_path).stderr
    assert "say which study to write" in hlb("new", "--out", "x.yaml", cwd=tmp_path).stderr
    done = hlb("new", "demo", "--out", "absent/x.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        "hlb: absent/x.yaml: cannot be written: No such file or directory\n",
    )
