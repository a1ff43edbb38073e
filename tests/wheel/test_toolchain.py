from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from horovod_lb.errors import BuildError
from horovod_lb.wheel import toolchain

Program = Callable[[str, str], Path]
BarePath = Callable[..., dict[str, str]]


def test_compiler_of_this_machine_is_tried_and_told() -> None:
    compiler = toolchain.find_compiler(os.environ)
    asked = subprocess.run([compiler.path, "-dumpmachine"], capture_output=True, text=True, check=True)
    assert compiler.target == asked.stdout.strip()
    assert re.search(r"\d+\.\d+", compiler.version)


def test_path_without_a_compiler(bare_path: BarePath) -> None:
    with pytest.raises(
        BuildError, match=r"No C\+\+ compiler .*on PATH.*apt install g\+\+.*CXX=/path/to/g\+\+"
    ):
        toolchain.find_compiler(bare_path("make"))


def test_cxx_that_names_nothing() -> None:
    with pytest.raises(BuildError, match=r"CXX=/nowhere/g\+\+"):
        toolchain.find_compiler({**os.environ, "CXX": "/nowhere/g++"})


def test_compiler_that_knows_no_cxx17(program: Program) -> None:
    # The machine's real compiler, held to the standard of 2011.
    old = program(
        "old-g++", f'exec {shutil.which("c++")} $(echo "$@" | sed s/-std=c++17/-std=c++11/) -Werror'
    )
    with pytest.raises(BuildError, match=r"cannot build a C\+\+17 program: .*error.*GCC 9 or later"):
        toolchain.find_compiler({**os.environ, "CXX": str(old)})


def test_compiler_without_its_standard_library(program: Program) -> None:
    bare = program("bare-g++", f'exec {shutil.which("c++")} -nostdinc++ "$@"')
    with pytest.raises(BuildError, match="string_view"):
        toolchain.find_compiler({**os.environ, "CXX": str(bare)})


def test_no_make(bare_path: BarePath) -> None:
    with pytest.raises(BuildError, match=r"`make` was not found on PATH.*apt install make"):
        toolchain.find_make(bare_path("sh"))


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("cmake version 4.1.2", "4.1.2"),
        ("cmake version 3.12.4", "3.12.4"),
        ("cmake3 version 2.8.12", "2.8.12"),
    ],
)
def test_wrong_cmake(program: Program, answer: str, found: str) -> None:
    wrong = program("cmake", f'echo "{answer}"')
    with pytest.raises(BuildError) as caught:
        toolchain.find_cmake({**os.environ, "HOROVOD_CMAKE": str(wrong)})
    text = str(caught.value)
    assert f"CMake {found} ({wrong})" in text
    assert "at least 3.13 and less than 4" in text
    assert f"{sys.executable} -m pip install 'cmake>=3.13,<4'" in text


@pytest.mark.parametrize("answer", ["cmake version 3.13.0", "cmake version 3.31.10"])
def test_right_cmake(program: Program, answer: str) -> None:
    right = program("cmake", f'echo "{answer}"')
    assert toolchain.find_cmake({**os.environ, "HOROVOD_CMAKE": str(right)}).version == answer.split()[-1]


def test_program_that_is_no_cmake(program: Program) -> None:
    wrong = program("cmake", 'echo "segmentation fault" >&2; exit 139')
    with pytest.raises(BuildError, match="does not answer like CMake: segmentation fault"):
        toolchain.find_cmake({**os.environ, "HOROVOD_CMAKE": str(wrong)})


def test_no_cmake_at_all(bare_path: BarePath) -> None:
    with pytest.raises(BuildError, match=r"CMake was not found .*HOROVOD_CMAKE=/nowhere/cmake is no program"):
        toolchain.find_cmake(bare_path("sh", HOROVOD_CMAKE="/nowhere/cmake"))


def test_first_error_names_the_cause() -> None:
    gcc = "g++ -c x/error.cc -o x\nx/error.cc:3:1: error: expected ';'\nmake: *** [x.o] Error 1"
    assert toolchain.first_error(gcc) == "x/error.cc:3:1: error: expected ';'"
    cmake = "-- Found x\nCMake Error at CMakeLists.txt:3 (message):\n  Could NOT find MPI\n"
    assert toolchain.first_error(cmake) == "CMake Error at CMakeLists.txt:3 (message): Could NOT find MPI"
    pip = "error: subprocess-exited-with-error\n" + cmake + "error: subprocess-exited-with-error\n"
    assert toolchain.first_error(pip).startswith("CMake Error at CMakeLists.txt:3")
    assert toolchain.first_error("one\ntwo\n") == "two"
    assert toolchain.first_error("") == "no output"


def test_cpu_flags_are_flags_this_machine_has() -> None:
    flags = toolchain.cpu_flags({})
    cpu = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    for flag in (flags or "").split():
        assert flag.removeprefix("-m") in cpu
    assert toolchain.cpu_flags({"HOROVOD_BUILD_ARCH_FLAGS": "-march=haswell"}) == "-march=haswell"
