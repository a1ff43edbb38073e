"""The tools of the build: C++ compiler, make, CMake. Each is tried before it is trusted."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from horovod_lb.errors import BuildError

CMAKE_AT_LEAST = (3, 13)
CMAKE_BELOW = (4, 0)

_CXX17_PROGRAM = """
#include <string_view>
int main() { if constexpr (sizeof(void*) > 4) { return std::string_view("").size(); } return 1; }
"""


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler that has compiled and linked a C++17 program: its path, version and target."""

    path: Path
    version: str
    target: str


@dataclass(frozen=True)
class CMake:
    """A CMake of a version that Horovod's build files work with."""

    path: Path
    version: str


def environment_bin() -> Path:
    """The folder of this environment's programs: a virtual environment's own, never the base Python's."""
    return Path(sys.prefix) / "bin"


def which(name: str, env: Mapping[str, str]) -> Path | None:
    """The program `name` (a path or a name on `env`'s PATH), or None."""
    found = shutil.which(name, path=env.get("PATH", ""))
    return Path(found) if found else None


def output_of(
    command: Sequence[str | Path], env: Mapping[str, str], *, text: str | None = None
) -> tuple[int, str]:
    """Exit status and output (both streams) of a short command; status 127 where it cannot be run at all."""
    try:
        done = subprocess.run(
            list(map(str, command)),
            input=text if text is not None else "",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=dict(env),
            timeout=120,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, str(error)
    return done.returncode, done.stdout


def first_error(output: str) -> str:
    """The line of a tool's output that names the cause, or the last line; CMake tells it on the next line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for pattern in (
        r":\s*(fatal )?error: ",
        r"^CMake Error",
        r"^(error|ERROR|\w*Error): (?!subprocess-)",
        r"\berror\b",
    ):
        for number, line in enumerate(lines):
            if re.search(pattern, line):
                return " ".join(lines[number : number + 2]) if line.startswith("CMake Error") else line
    return lines[-1] if lines else "no output"


def try_program(command: Sequence[str | Path], program: str, env: Mapping[str, str]) -> str | None:
    """Compile and link `program` with a compiler command; None if that works, else the line that says why."""
    with tempfile.TemporaryDirectory(prefix="hlb-probe-") as folder:
        target = Path(folder) / "probe"
        code, output = output_of([*command, "-x", "c++", "-", "-o", target], env, text=program)
        if code == 0 and target.exists():
            return None
        return first_error(output)


def find_compiler(env: Mapping[str, str]) -> Compiler:
    """The compiler named by CXX, else c++, g++ or clang++ on PATH. Raises BuildError."""
    wanted = env.get("CXX", "").strip()
    names = (wanted,) if wanted else ("c++", "g++", "clang++")
    path = next((found for name in names if (found := which(name, env))), None)
    if path is None:
        where = f"CXX={wanted}" if wanted else "c++, g++ and clang++ on PATH"
        raise BuildError(
            f"No C++ compiler was found (looked for {where}). Install one (Debian, Ubuntu: `apt install "
            "g++`; a cluster: `module load gcc`) or name it with CXX=/path/to/g++."
        )
    problem = try_program([path, "-std=c++17"], _CXX17_PROGRAM, env)
    if problem:
        raise BuildError(
            f"The C++ compiler {path} cannot build a C++17 program: {problem}. "
            "TensorFlow's headers need C++17: name a newer compiler with CXX=/path/to/g++ (GCC 9 or later)."
        )
    _, version = output_of([path, "--version"], env)
    _, target = output_of([path, "-dumpmachine"], env)
    return Compiler(path, version.splitlines()[0].strip() if version else "unknown", target.strip())


def find_make(env: Mapping[str, str]) -> Path:
    """The make that CMake will call. Raises BuildError."""
    path = which("make", env) or which("gmake", env)
    if path is None:
        raise BuildError(
            "`make` was not found on PATH. Install it (Debian, Ubuntu: `apt install make`; a cluster: ask "
            "for the development tools) and run the build again."
        )
    return path


def find_cmake(env: Mapping[str, str]) -> CMake:
    """The CMake that HOROVOD_CMAKE names, else the environment's, else the one on PATH. Raises BuildError."""
    wanted = env.get("HOROVOD_CMAKE", "").strip()
    own = environment_bin() / "cmake"
    path = which(wanted, env) if wanted else (own if own.exists() else which("cmake", env))
    remedy = (
        f"Install one into this environment with `{sys.executable} -m pip install 'cmake>=3.13,<4'`, "
        "or name one with HOROVOD_CMAKE=/path/to/cmake."
    )
    if path is None:
        place = (
            f"HOROVOD_CMAKE={wanted} is no program" if wanted else "none in this environment, none on PATH"
        )
        raise BuildError(f"CMake was not found ({place}). {remedy}")
    _, output = output_of([path, "--version"], env)
    match = re.search(r"version\s+(\d+)\.(\d+)(\.\d+)?", output)
    if not match:
        raise BuildError(f"{path} does not answer like CMake: {first_error(output)}. {remedy}")
    version = (int(match[1]), int(match[2]))
    text = "".join((match[1], ".", match[2], match[3] or ""))
    if not CMAKE_AT_LEAST <= version < CMAKE_BELOW:
        raise BuildError(
            f"CMake {text} ({path}) cannot build Horovod 0.28.1: at least 3.13 and less than 4 is needed. "
            f"{remedy}"
        )
    return CMake(path, text)


def cpu_flags(env: Mapping[str, str]) -> str | None:
    """Horovod's instruction-set flags: HOROVOD_BUILD_ARCH_FLAGS, else what this x86 CPU has.

    Horovod would ask `gcc -march=native` by itself; asking here puts the answer into the wheel's key, so that
    a shared cache never hands a wheel to a machine that lacks an instruction.
    """
    if env.get("HOROVOD_BUILD_ARCH_FLAGS"):
        return env["HOROVOD_BUILD_ARCH_FLAGS"]
    if platform.machine() not in ("x86_64", "AMD64"):
        return None
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    present = set(match[1].split()) if match else set()
    return " ".join(f"-m{flag}" for flag in ("f16c", "avx", "fma") if flag in present) or None
