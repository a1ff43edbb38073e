"""The `HOROVOD_*` variables of the build: the user's, with the project's defaults filled in."""

from __future__ import annotations

import json
import re
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from horovod_lb.errors import BuildError
from horovod_lb.wheel.toolchain import output_of, which

#: Everything in the environment that Horovod's build files or the compiler read and that changes the result.
BUILD_VARIABLES = (
    "HOROVOD_WITH_GLOO",
    "HOROVOD_WITHOUT_GLOO",
    "HOROVOD_WITH_MPI",
    "HOROVOD_WITHOUT_MPI",
    "HOROVOD_WITH_TENSORFLOW",
    "HOROVOD_WITH_PYTORCH",
    "HOROVOD_WITHOUT_PYTORCH",
    "HOROVOD_WITH_MXNET",
    "HOROVOD_WITHOUT_MXNET",
    "HOROVOD_WITH_NVTX",
    "HOROVOD_WITHOUT_NVTX",
    "HOROVOD_NVTX_INCLUDE",
    "HOROVOD_CPU_OPERATIONS",
    "HOROVOD_GPU",
    "HOROVOD_GPU_OPERATIONS",
    "HOROVOD_GPU_ALLREDUCE",
    "HOROVOD_GPU_ALLGATHER",
    "HOROVOD_GPU_BROADCAST",
    "HOROVOD_GPU_ALLTOALL",
    "HOROVOD_GPU_REDUCESCATTER",
    "HOROVOD_ALLOW_MIXED_GPU_IMPL",
    "HOROVOD_CUDA_HOME",
    "HOROVOD_ROCM_HOME",
    "HOROVOD_BUILD_CUDA_CC_LIST",
    "HOROVOD_NCCL_HOME",
    "HOROVOD_NCCL_INCLUDE",
    "HOROVOD_NCCL_LIB",
    "HOROVOD_NCCL_LINK",
    "HOROVOD_DEBUG",
    "CCL_ROOT",
    "CCL_CONFIGURATION",
    "CXXFLAGS",
    "CPPFLAGS",
    "CUDAFLAGS",
    "LDFLAGS",
)
#: What else chooses the tools of the build.
TOOL_VARIABLES = ("HLB_MPICC", "CXX", "HOROVOD_CMAKE", "HOROVOD_BUILD_ARCH_FLAGS")
#: In an environment's folder: what set-up made of it, and the variables it was made with.
STATE_FILE = "hlb-environment.json"
_GPU_OPERATIONS = tuple(name for name in BUILD_VARIABLES if name.startswith("HOROVOD_GPU_"))


@dataclass(frozen=True)
class Settings:
    """What is built: the variables handed to Horovod's build, and what they ask for."""

    variables: Mapping[str, str]
    gloo: bool
    gpu: bool
    nccl: bool


@dataclass(frozen=True)
class Nccl:
    """An NCCL found in a folder: its header's folder, its library, and its version code (such as 23203)."""

    include: Path
    library: Path
    version: str


def build_variables(env: Mapping[str, str]) -> dict[str, str]:
    """Those variables of `env` that choose what is built and with which tools."""
    return {
        name: env[name].strip() for name in (*BUILD_VARIABLES, *TOOL_VARIABLES) if env.get(name, "").strip()
    }


def read_state(prefix: Path) -> dict[str, Any]:
    """What set-up noted in the environment `prefix`; empty where it did not make that environment."""
    try:
        state = json.loads((prefix / STATE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def recall(env: Mapping[str, str], prefix: Path) -> dict[str, str]:
    """`env`, completed by the variables that the environment `prefix` was set up with.

    So a GPU site says HOROVOD_GPU_OPERATIONS=NCCL once. Where `env` names any HOROVOD_* or HLB_* variable of
    the build itself, it is a new wish, and nothing is recalled.
    """
    if any(name.startswith(("HOROVOD_", "HLB_")) for name in build_variables(env)):
        return dict(env)
    return {**read_state(prefix).get("variables", {}), **env}


def wants_gpu(env: Mapping[str, str]) -> bool:
    """Whether the variables ask for GPU operations at all."""
    return any(env.get(name, "").strip() for name in _GPU_OPERATIONS)


def resolve_settings(env: Mapping[str, str]) -> Settings:
    """The user's build variables with the defaults: TensorFlow and MPI alone, as fast a build as can be.

    Gloo is off unless HOROVOD_WITH_GLOO=1, PyTorch and MXNet unless asked for, NVTX ranges unless GPU
    operations are. Raises BuildError for a build that could not start ranks.
    """
    chosen = {name: env[name].strip() for name in BUILD_VARIABLES if env.get(name, "").strip()}
    if chosen.get("HOROVOD_WITHOUT_MPI") == "1":
        raise BuildError(
            "HOROVOD_WITHOUT_MPI=1 is set, but horovod_lb starts its ranks through MPI: unset it "
            "(HOROVOD_WITH_GLOO=1 adds Gloo beside MPI)."
        )
    chosen["HOROVOD_WITH_MPI"] = "1"
    chosen["HOROVOD_WITH_TENSORFLOW"] = "1"
    gpu = wants_gpu(chosen)
    optional = ["GLOO", "PYTORCH", "MXNET"] + ([] if gpu else ["NVTX"])
    for part in optional:
        if chosen.get(f"HOROVOD_WITH_{part}") != "1":
            chosen.pop(f"HOROVOD_WITH_{part}", None)
            chosen[f"HOROVOD_WITHOUT_{part}"] = "1"
        elif chosen.get(f"HOROVOD_WITHOUT_{part}") == "1":
            raise BuildError(
                f"HOROVOD_WITH_{part}=1 and HOROVOD_WITHOUT_{part}=1 are both set: unset one of them."
            )
    return Settings(
        variables=dict(sorted(chosen.items())),
        gloo=chosen.get("HOROVOD_WITHOUT_GLOO") != "1",
        gpu=gpu,
        nccl=any(chosen.get(name) == "NCCL" for name in _GPU_OPERATIONS),
    )


def find_nvcc(settings: Settings, env: Mapping[str, str]) -> str:
    """The release of the CUDA compiler that a GPU build will use. Raises BuildError."""
    home = settings.variables.get("HOROVOD_CUDA_HOME")
    names = [f"{home}/bin/nvcc"] if home else ["nvcc", "/usr/local/cuda/bin/nvcc"]
    path = next((found for name in names if (found := which(name, env))), None)
    if path is None:
        place = f"in HOROVOD_CUDA_HOME={home}" if home else "on PATH or in /usr/local/cuda"
        raise BuildError(
            f"GPU operations need the CUDA compiler nvcc, and there is none {place}. `module load cuda`, set "
            "HOROVOD_CUDA_HOME=/path/to/cuda, or unset the HOROVOD_GPU_* variables."
        )
    _, output = output_of([path, "--version"], env)
    match = re.search(r"release [\d.]+, V([\d.]+)", output)
    return match[1] if match else output.strip().splitlines()[-1] if output.strip() else "unknown"


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
