"""Launchers as child processes."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from horovod_lb.errors import HlbError
from horovod_lb.schedulers import children
from horovod_lb.schedulers.launchers import find_mpirun, mpirun

PATIENCE = 120
NEXT_PROCESSES = 2000


def launch() -> list[str]:
    try:
        program = find_mpirun()
    except HlbError:
        pytest.skip("no mpirun here")
    return list(mpirun(1, ["true"], threads=1, program=program, as_root=os.geteuid() == 0).argv)


@pytest.fixture
def left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what killed `mpirun`s would have left, had they had the process ids that come next."""
    newest = subprocess.Popen(["true"])
    newest.wait()
    limit = int(Path("/proc/sys/kernel/pid_max").read_text())
    for step in range(NEXT_PROCESSES):
        session = tmp_path / f"ompi.{(newest.pid + step) % limit}"
        session.mkdir()
        (session / f"pmix.{platform.node()}.tool").touch()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    for name in [name for name in os.environ if name.startswith("PRTE_MCA_")]:
        monkeypatch.delenv(name)
    children._temporary_folder.cache_clear()
    return tmp_path


def test_an_mpirun_starts_where_a_killed_one_had_its_process_id(left_behind: Path) -> None:
    argv = launch()
    plain = subprocess.run(argv, capture_output=True, timeout=PATIENCE, check=False)
    assert plain.returncode == 213, plain.stdout  # else this test tests nothing
    child = children.start(argv, {}, left_behind / "log")
    assert child.wait(PATIENCE) == 0, (left_behind / "log").read_text()


def test_the_folders_go_with_their_process(tmp_path: Path) -> None:
    script = (
        "import os, sys; from horovod_lb.schedulers.children import own_session_directory as own\n"
        "one, other = own(), own()\n"
        "assert one != other\n"
        "if os.fork() == 0: sys.exit()\n"
        "os.wait()\n"
        "assert all(os.path.isdir(folder) for found in (one, other) for folder in found.values())\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=PATIENCE)
    assert list(tmp_path.iterdir()) == []
