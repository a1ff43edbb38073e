from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from horovod_lb.errors import BuildError
from horovod_lb.wheel import build, plan, source
from horovod_lb.wheel.cache import WheelCache

ROOT = Path(__file__).parents[2]
SETUP = """
from setuptools import Extension, setup
setup(name="tiny", version="1", ext_modules=[Extension("tiny", ["tiny.cc"])])
"""


def project(folder: Path, program: str) -> Path:
    tree = folder / "tiny"
    tree.mkdir()
    (tree / "setup.py").write_text(SETUP, encoding="utf-8")
    (tree / "tiny.cc").write_text(program, encoding="utf-8")
    return tree


@pytest.fixture(scope="module")
def here() -> plan.Plan:
    try:
        return plan.make_plan(os.environ)
    except BuildError as error:
        pytest.skip(f"nothing can be built here: {error}")


def test_a_source_that_compiles(tmp_path: Path) -> None:
    tree = project(tmp_path, 'extern "C" void* PyInit_tiny() { return nullptr; }')
    assert build.compile_wheel(tree, os.environ, tmp_path / "log").suffix == ".whl"


def test_a_source_that_does_not_compile(tmp_path: Path) -> None:
    tree = project(tmp_path, "int broken() { return undeclared_name; }")
    with pytest.raises(BuildError) as caught:
        build.compile_wheel(tree, os.environ, tmp_path / "log")
    text = str(caught.value)
    assert "tiny.cc:1:" in text
    assert "undeclared_name" in text
    assert f"The whole output is in {tmp_path / 'log'}" in text
    assert "undeclared_name" in (tmp_path / "log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("Could NOT find NCCL (missing: NCCL_INCLUDE_DIR)", "HOROVOD_NCCL_HOME"),
        ("c++: fatal error: Killed signal terminated program cc1plus", "HLB_BUILD_CORES=1"),
        ("fatal error: error writing to /tmp/x.s: No space left on device", "TMPDIR"),
    ],
)
def test_known_causes_come_with_their_remedy(tmp_path: Path, said: str, remedy: str) -> None:
    tree = project(tmp_path, "")
    (tree / "setup.py").write_text(f"raise SystemExit({said!r})", encoding="utf-8")
    with pytest.raises(BuildError, match=remedy):
        build.compile_wheel(tree, os.environ, tmp_path / "log")


def test_no_network_and_no_fitting_wheel(
    tmp_path: Path, here: plan.Plan, unreachable_index: dict[str, str]
) -> None:
    """The whole command on an offline machine whose cache holds a wheel for another MPI."""
    cache = WheelCache(tmp_path / "horovod_lb")
    wheel = tmp_path / "horovod-0.28.1-py3-none-any.whl"
    wheel.write_bytes(b"")
    cache.store("0" * 16, wheel, {**here.facts, "mpi": "Open MPI 4.0.0"}, wheel)
    done = subprocess.run(
        [sys.executable, "-m", "horovod_lb.wheel", "--rebuild"],
        cwd=ROOT,
        env={**unreachable_index, "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "The package index cannot be reached" in done.stderr
    assert "--sdist FILE" in done.stderr
    assert "cached Open MPI 4.0.0" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_sdist_on_the_command_line(tmp_path: Path, here: plan.Plan) -> None:
    wrong = tmp_path / source.ARCHIVE
    wrong.write_bytes(b"not a tar file")
    with pytest.raises(BuildError, match="its SHA-256 is"):
        build.ensure({**os.environ, "XDG_CACHE_HOME": str(tmp_path)}, archive=wrong, rebuild=True)


@pytest.mark.parametrize(
    "change",
    [
        {"HOROVOD_WITH_GLOO": "1"},
        {"HOROVOD_CPU_OPERATIONS": "MPI"},
        {"HOROVOD_BUILD_ARCH_FLAGS": "-mavx"},
        {"CXXFLAGS": "-O1"},
        {"HOROVOD_DEBUG": "1"},
    ],
)
def test_what_changes_the_wheel_changes_its_key(here: plan.Plan, change: dict[str, str]) -> None:
    assert plan.make_plan({**os.environ, **change}).key != here.key


def test_what_does_not_change_the_wheel_keeps_its_key(here: plan.Plan) -> None:
    other = {
        "HOROVOD_FUSION_THRESHOLD": "0",
        "OMP_NUM_THREADS": "1",
        "HLB_BUILD_CORES": "1",
        "MAKEFLAGS": "-s",
    }
    assert plan.make_plan({**os.environ, **other}).key == here.key


def test_libraries_in_the_environment_are_found_relative_to_the_wheel(here: plan.Plan) -> None:
    if not here.mpi.library_folder.is_relative_to(sys.prefix):
        pytest.skip("built against the site's MPI")
    assert here.rpath.startswith("$ORIGIN/../")
    assert sys.prefix not in str(dict(here.facts))


def test_compilation_is_parallel_under_make(here: plan.Plan) -> None:
    env = here.build_environment({**os.environ, "MAKEFLAGS": "-s --jobserver-auth=3,4", "MAKELEVEL": "1"}, 3)
    assert env["MAKEFLAGS"] == "-j3"
    assert "MAKELEVEL" not in env


def test_build_cores() -> None:
    assert 1 <= build.build_cores({}) <= len(os.sched_getaffinity(0))
    assert build.build_cores({"HLB_BUILD_CORES": "7"}) == 7
    with pytest.raises(BuildError, match="HLB_BUILD_CORES=many is not a number"):
        build.build_cores({"HLB_BUILD_CORES": "many"})
