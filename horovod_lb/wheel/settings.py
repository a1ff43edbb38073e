"""The `HOROVOD_*` variables of the build: the user's, with the project's defaults filled in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from horovod_lb.errors import BuildError

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
TOOL_VARIABLES = ("HLB_USE_SITE", "HLB_MPICC", "CXX", "HOROVOD_CMAKE", "HOROVOD_BUILD_ARCH_FLAGS")
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
