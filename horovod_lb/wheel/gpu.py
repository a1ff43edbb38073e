"""What a GPU build needs beside the rest: the CUDA toolkit and NCCL."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from horovod_lb.errors import BuildError
from horovod_lb.wheel.settings import Settings
from horovod_lb.wheel.toolchain import first_error, output_of, which


@dataclass(frozen=True)
class Cuda:
    """A CUDA toolkit whose compiler answered: its folder and its release, such as 13.0.88."""

    home: Path
    version: str


@dataclass(frozen=True)
class Nccl:
    """An NCCL found in a folder: its header's folder, its library, and its version code (such as 23203)."""

    include: Path
    library: Path
    version: str


def find_cuda(settings: Settings, env: Mapping[str, str]) -> Cuda:
    """The toolkit of HOROVOD_CUDA_HOME, else of the nvcc on PATH, else /usr/local/cuda. Raises BuildError."""
    wanted = settings.variables.get("HOROVOD_CUDA_HOME")
    names = [f"{wanted}/bin/nvcc"] if wanted else ["nvcc", "/usr/local/cuda/bin/nvcc"]
    nvcc = next((found for name in names if (found := which(name, env))), None)
    remedy = "`module load cuda`, set HOROVOD_CUDA_HOME=/path/to/cuda, or unset the HOROVOD_GPU_* variables."
    if nvcc is None:
        place = f"in HOROVOD_CUDA_HOME={wanted}" if wanted else "on PATH or in /usr/local/cuda"
        raise BuildError(f"GPU operations need the CUDA compiler nvcc, and there is none {place}: {remedy}")
    _, output = output_of([nvcc, "--version"], env)
    version = re.search(r"release [\d.]+, V([\d.]+)", output)
    # nvcc itself tells where its toolkit is: what is on PATH may be a script that calls the real one.
    _, planned = output_of([nvcc, "--dryrun", "-c", "none.cu"], env)
    top = re.search(r"^#\$ TOP=(.+)$", planned, re.MULTILINE)
    if not version or not top:
        raise BuildError(f"{nvcc} does not answer like the CUDA compiler: {first_error(output)}: {remedy}")
    home = Path(top[1].strip()).resolve()
    if not (home / "include" / "cuda_runtime.h").exists():
        raise BuildError(f"The CUDA toolkit {home} has no include/cuda_runtime.h, only a compiler: {remedy}")
    return Cuda(home, version[1])


def find_nccl(settings: Settings) -> Nccl | None:
    """NCCL where the HOROVOD_NCCL_* variables say, else from the `nvidia-nccl` package of this environment.

    None where neither is the case: Horovod's build then looks in the CUDA toolkit and the system's folders.
    Raises BuildError where the variables name a folder without NCCL.
    """
    variables = settings.variables
    home = variables.get("HOROVOD_NCCL_HOME")
    include = variables.get("HOROVOD_NCCL_INCLUDE") or (f"{home}/include" if home else "")
    library = variables.get("HOROVOD_NCCL_LIB") or (f"{home}/lib" if home else "")
    if include or library:
        header, folder = Path(include or "/usr/include"), Path(library or "/usr/lib")
        found = _nccl_in(header, [folder, folder.with_name("lib64")])
        if found is None and include and library:
            raise BuildError(
                f"HOROVOD_NCCL_*: no nccl.h in {header} or no libnccl in {folder}. Name the folder that "
                "holds include/nccl.h and lib/libnccl.so with HOROVOD_NCCL_HOME, or unset these variables to "
                "use the nvidia-nccl package."
            )
        return found
    packaged = Path(sysconfig.get_path("platlib")) / "nvidia" / "nccl"
    return _nccl_in(packaged / "include", [packaged / "lib"])


def _nccl_in(include: Path, folders: list[Path]) -> Nccl | None:
    header = include / "nccl.h"
    libraries = [path for folder in folders for path in sorted(folder.glob("libnccl*.so*"))]
    libraries += [path for folder in folders for path in folder.glob("libnccl_static.a")]
    if not header.exists() or not libraries:
        return None
    text = header.read_text(encoding="utf-8", errors="replace")
    parts = [re.search(rf"#define\s+NCCL_{name}\s+(\d+)", text) for name in ("MAJOR", "MINOR", "PATCH")]
    version = ".".join(part[1] for part in parts if part)
    return Nccl(include, libraries[0], version)
