"""`hlb doctor`: the table, what to do, the status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def doctor(tmp_path):
    """Runs it with a home of its own; TensorFlow and the others are stand-ins that answer at once."""
    shadow = tmp_path / "shadow"
    for name, text in {
        "tensorflow": "class keras: __version__ = '3.15'\n__version__ = '2.21.0'",
        "keras": "class backend:\n    backend = staticmethod(lambda: 'tensorflow')\n__version__ = '3.15'",
        "horovod": "__version__ = '0.28.1'",
        "horovod/tensorflow": "mpi_built = lambda: True\ngloo_built = nccl_built = lambda: 0",
        "mpi4py": "__version__ = '4'\nclass rc: pass",
        "mpi4py/MPI": "Get_library_version = lambda: 'Open MPI v5.0.11, package'",
    }.items():
        (shadow / name).mkdir(parents=True)
        (shadow / name / "__init__.py").write_text(text + "\n")

    def run(*arguments, **variables):
        environment = {
            **{name: value for name, value in os.environ.items() if name not in ("HLB_MACHINE", "TMPDIR")},
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(ROOT), str(shadow), os.environ.get("PYTHONPATH")])
            ),
            "HOME": str(tmp_path),
            "XDG_CONFIG_HOME": "",
            **variables,
        }
        command = [sys.executable, "-m", "horovod_lb.cli.main", "doctor", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    return run


def checks(done):
    return {check["check"]: check for check in json.loads(done.stdout)["checks"]}


def test_this_machine(doctor):
    done = doctor("--machine", "local", "--json")
    found = checks(done)
    assert found["machine"]["seen"].startswith("local: none, mpirun")
    for name in (
        "Python",
        "packages",
        "folder runs",
        "folder home",
        "folder tmp",
        "TMPDIR",
        "ssh config",
        "git",
    ):
        assert found[name]["state"] in ("ok", "warning"), found[name]
    assert "TensorFlow 2.21.0, Keras 3.15, Horovod 0.28.1 (MPI), Open MPI v5.0.11" in found["import"]["seen"]
    assert "Slurm commands" not in found
    assert done.returncode == (1 if json.loads(done.stdout)["state"] == "problem" else 0)


def test_a_problem_is_the_status(doctor, tmp_path):
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").touch(mode=0o600)
    (tmp_path / ".ssh" / "config").chmod(0o664)
    done = doctor("--machine", "summit", PATH=str(Path(sys.executable).parent), TMPDIR=str(tmp_path))
    assert done.returncode == 1
    lines = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    for check, remedy in {
        "LSF commands": "use a login node",
        "TMPDIR": "unset TMPDIR",
        "ssh config": "chmod 600 ~/.ssh/config",
        "git": "",
    }.items():
        assert ("problem" if check != "git" else "warning") in lines[check]
        assert remedy in lines[check]
    assert "problems" in done.stdout.splitlines()[-1]


def test_a_profile_that_cannot_be_read(doctor, tmp_path):
    (tmp_path / "machines").mkdir()
    (tmp_path / "machines" / "m.toml").write_text('scheduler = "slurm"\n')
    done = doctor("--machine", "m", "--study", "study.yaml", "--json")
    found = checks(done)
    assert done.returncode == 1
    assert "m.toml: launcher: missing" in found["machine"]["remedy"]
    assert found["folder home"]["state"] == "ok"  # the other checks are made all the same


def test_no_default_machine_is_a_warning(doctor):
    assert checks(doctor("--json"))["machine"]["state"] == "warning"
