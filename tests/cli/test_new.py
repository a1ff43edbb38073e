"""`hlb new`: the shipped studies, listed and written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from horovod_lb.study.shipped import miniatures, shipped_studies

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
    """Every study once, presets under their papers, then the others; each with its size."""
    lines = hlb("new", cwd=tmp_path).stdout.splitlines()
    entries = [line.strip().split(": ", 1) for line in lines if line.startswith("  ") and line[2] != " "]
    assert sorted(name for name, _ in entries) == sorted(shipped_studies())
    assert all(len(title) > 10 for _, title in entries)
    sizes = [line.strip() for line in lines if line.startswith("      ")]
    assert len(sizes) == len(entries)
    headings = [line for line in lines if line and not line.startswith(" ")]
    assert headings[-2:] == [
        "Other studies",
        "hlb new NAME writes NAME.yaml; with --miniature its variant for two cores.",
    ]
    demo = lines.index("Other studies") + 1
    assert any(line.startswith("  demo: ") for line in lines[demo:])


def test_list_as_json(tmp_path):
    listed = {entry["name"]: entry for entry in json.loads(hlb("new", "--json", cwd=tmp_path).stdout)}
    assert list(listed) == list(shipped_studies())
    assert listed["demo"]["runs"] == 15
    assert listed["demo"]["paper"] is None
    small = {name for name, entry in listed.items() if entry["miniature"]}
    assert small == set(miniatures())
    for name in small:
        assert listed[name]["miniature"]["name"] == f"{name}-miniature"
        assert listed[name]["miniature"]["runs"] > 0


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
    assert "say which study to write" in hlb("new", "--miniature", cwd=tmp_path).stderr
    assert "demo has no miniature" in hlb("new", "demo", "--miniature", cwd=tmp_path).stderr
    assert "goes with the list" in hlb("new", "demo", "--json", cwd=tmp_path).stderr
    done = hlb("new", "demo", "--out", "absent/x.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        "hlb: absent/x.yaml: cannot be written: No such file or directory\n",
    )
