"""`hlb machines`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from horovod_lb.machines.source import SHIPPED

ROOT = Path(__file__).parents[2]


@pytest.fixture
def hlb(tmp_path):
    def run(*arguments, **variables):
        environment = {
            **{name: value for name, value in os.environ.items() if name != "HLB_MACHINE"},
            "PYTHONPATH": str(ROOT),
            "HOME": str(tmp_path),
            "XDG_CONFIG_HOME": "",
            **variables,
        }
        command = [sys.executable, "-m", "horovod_lb.cli.main", "machines", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture
def mine(tmp_path):
    folder = tmp_path / ".config" / "horovod_lb" / "machines"
    folder.mkdir(parents=True)

    def write(name, text):
        (folder / f"{name}.toml").write_text(text)

    return write


def test_list(hlb, mine):
    mine("summit", 'account = "ABC"\n')
    mine("mine", 'extends = "summit"\n')
    done = hlb(HLB_MACHINE="mine")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert rows["summit"].split() == [
        "summit", "lsf", "jsrun", "4608", "6", "42", "6", "shipped", "summit.toml,",
        "~/.config/horovod_lb/machines/summit.toml",
    ]  # fmt: skip
    assert rows["mine"].startswith("mine (default)")
    assert "No default" not in done.stdout
    assert 'machine = "NAME" in ~/.config/horovod_lb/config.toml' in hlb().stdout


def test_show(hlb, mine):
    mine("summit", '\naccount = "ABC"\n')
    done = hlb("summit")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in done.stdout.splitlines()}
    assert rows["account"].split() == ['"ABC"', "~/.config/horovod_lb/machines/summit.toml:2"]
    line = (SHIPPED / "summit.toml").read_text().splitlines().index('launcher = "jsrun"') + 1
    assert rows["launcher"].split() == ['"jsrun"', "shipped", f"summit.toml:{line}"]
    assert rows["cores_per_rank"].split() == ["7", "follows", "from", "others"]
    assert rows["signal"].split() == ['"USR2"', "default"]
    assert 'limit = "6:00"' in rows["walltimes[1]"]


def test_json(hlb, mine, tmp_path):
    mine("summit", 'account = "ABC"\n')
    mine("wrong", "nodes = 0\n")
    shown = json.loads(hlb("summit", "--json", HLB_MACHINE="summit").stdout)
    assert (shown["name"], shown["account"], shown["default"]) == ("summit", "ABC", True)
    assert [entry["limit"] for entry in shown["walltimes"]] == ["2:00", "6:00", "12:00", "24:00"]
    assert shown["origins"]["account"] == f"{tmp_path}/.config/horovod_lb/machines/summit.toml:1"
    done = hlb("--json")
    listed = json.loads(done.stdout)
    assert done.returncode == 2
    assert "summit" in [machine["name"] for machine in listed["machines"]]
    assert "wrong.toml:1: nodes: found 0; a number >= 1 is needed" in listed["wrong"]["wrong"]


def test_profiles_beside_the_study(hlb, tmp_path):
    (tmp_path / "project" / "machines").mkdir(parents=True)
    (tmp_path / "project" / "machines" / "near.toml").write_text('extends = "local"\n')
    assert "near" not in hlb().stdout
    assert "near" in hlb("--study", "project/study.yaml").stdout


def test_a_wrong_profile_is_listed_as_wrong_beside_the_others(hlb, mine):
    mine("bad", 'scheduler = "pbs"\n')
    done = hlb()
    assert done.returncode == 2
    assert "bad.toml:1: scheduler: found 'pbs'; allowed: slurm, lsf, none" in done.stdout
    assert "summit" in done.stdout
    one = hlb("bad")
    assert one.returncode == 2
    assert one.stdout == ""
    assert "bad.toml:1: scheduler" in one.stderr


def test_names_that_there_are_not(hlb):
    done = hlb("sumit")
    assert done.returncode == 2
    assert "did you mean summit?" in done.stderr
    assert "no machine profile 'nope'" in hlb(HLB_MACHINE="nope").stderr
