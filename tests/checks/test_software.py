"""What is installed: records of packages, the proof of the self-test, other processes that import."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from horovod_lb.checks import software
from horovod_lb.checks.finding import State
from horovod_lb.wheel import proof

ROOT = Path(__file__).parents[2]


def test_base_packages_are_those_of_the_set_up():
    options = configparser.ConfigParser()
    options.read(ROOT / "setup.cfg")
    required = [
        re.split(r"[<>=;! ]", line)[0] for line in options["options"]["install_requires"].split("\n") if line
    ]
    assert {*software.BASE, "tomli"} == set(required)


def test_proof_is_of_what_is_installed_now(tmp_path, monkeypatch):
    prefix = tmp_path
    assert proof.read(prefix) is None
    proof.write(prefix)
    assert proof.read(prefix)["proven"] == proof.fingerprint()
    assert [path.name for path in prefix.iterdir()] == [proof.FILE]
    # Another Horovod: the same version, other files.
    changed = {**proof.fingerprint(), "files": "0" * 16}
    monkeypatch.setattr(proof, "fingerprint", lambda: changed)
    assert proof.read(prefix) is None
    (prefix / proof.FILE).write_text("{")
    assert proof.read(prefix) is None


def test_fingerprint_has_horovods_files(tmp_path, monkeypatch):
    def installed(record):
        folder = tmp_path / "horovod-9.9.dist-info"
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: horovod\nVersion: 9.9\n")
        (folder / "RECORD").write_text(record)
        return proof.fingerprint()

    monkeypatch.syspath_prepend(str(tmp_path))
    first = installed("horovod/a.so,sha256=1,\n")
    assert first["horovod"] == "9.9"
    assert installed("horovod/a.so,sha256=2,\n")["files"] != first["files"]


def test_mpirun_and_git(program, monkeypatch):
    program("git", "exit 127")
    assert software.git_finding().state == State.WARNING
    monkeypatch.setattr(sys, "executable", "/nowhere/python")  # no mpirun beside it
    program("mpirun", "echo 'mpirun (Open MPI) 4.1.4'")
    finding = software.mpirun_finding()
    assert finding.state == State.OK
    assert finding.seen.endswith("4.1.4")
    program("mpirun", "echo 'mpirun is not allowed here' >&2; exit 1")
    assert "mpirun is not allowed here" in software.mpirun_finding().seen


@pytest.mark.parametrize(
    ("text", "state", "words"),
    [
        ("import time; time.sleep(60)", State.PROBLEM, "did not finish importing within 1 s"),
        ("raise ImportError('libcuda')", State.PROBLEM, "ImportError: libcuda"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            State.PROBLEM,
            "killed the process (signal 11)",
        ),
    ],
)
def test_a_tensorflow_that_does_not_import(tmp_path, monkeypatch, text, state, words):
    (tmp_path / "tensorflow.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(software, "version_of", lambda name: "1")
    [finding] = software.import_findings(1.0 if "sleep" in text else 60.0)
    assert finding.state == state
    assert words in finding.seen


def test_nothing_of_tensorflow_is_imported_here():
    """In a process of its own: this one may have imported it for other tests."""
    code = (
        "import sys; from horovod_lb.checks import software, doctor, preflight, verdict\n"
        "found = list(software.software_findings())\n"
        "assert not {'tensorflow', 'keras', 'horovod', 'mpi4py'} & set(sys.modules)\n"
        "import json; print(json.dumps([finding.check for finding in found]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        "Python",
        "packages",
        "training packages",
        "self-test",
        "mpirun",
        "git",
    ]
