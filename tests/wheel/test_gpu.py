from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from horovod_lb.errors import BuildError
from horovod_lb.wheel import gpu
from horovod_lb.wheel.settings import resolve_settings

BUILD_FREE = {k: v for k, v in os.environ.items() if not k.startswith("HOROVOD_")}


def test_gpu_operations_without_nvcc() -> None:
    asked = resolve_settings({"HOROVOD_GPU_OPERATIONS": "NCCL", "HOROVOD_CUDA_HOME": "/nowhere/cuda"})
    with pytest.raises(BuildError, match="nvcc, and there is none in HOROVOD_CUDA_HOME=/nowhere/cuda"):
        gpu.find_cuda(asked, BUILD_FREE)


NVCC = """case "$1" in
  --version) echo "Cuda compilation tools, release 12.5, V12.5.82" ;;
  --dryrun) echo '#$ _SPACE_= '; echo "#$ TOP=$HOME_OF_CUDA/bin/.." ;;
esac"""


def test_toolkit_is_where_nvcc_says_even_behind_a_script(
    tmp_path: Path, program: Callable[[str, str], Path]
) -> None:
    nvcc = program("nvcc", NVCC)
    env = {
        **BUILD_FREE,
        "PATH": f"{nvcc.parent}:{os.environ['PATH']}",
        "HOME_OF_CUDA": str(tmp_path / "cuda"),
    }
    asked = resolve_settings({"HOROVOD_GPU_OPERATIONS": "NCCL"})
    (tmp_path / "cuda" / "bin").mkdir(parents=True)
    with pytest.raises(BuildError, match=r"has no include/cuda_runtime\.h, only a compiler"):
        gpu.find_cuda(asked, env)
    (tmp_path / "cuda" / "include").mkdir()
    (tmp_path / "cuda" / "include" / "cuda_runtime.h").touch()
    assert gpu.find_cuda(asked, env) == gpu.Cuda(tmp_path / "cuda", "12.5.82")


def test_program_that_is_no_nvcc(program: Callable[[str, str], Path]) -> None:
    nvcc = program("nvcc", 'echo "license expired" >&2; exit 1')
    env = {**BUILD_FREE, "PATH": f"{nvcc.parent}:{os.environ['PATH']}"}
    with pytest.raises(BuildError, match="does not answer like the CUDA compiler: license expired"):
        gpu.find_cuda(resolve_settings({"HOROVOD_GPU_OPERATIONS": "NCCL"}), env)


def test_nccl_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "include").mkdir()
    (tmp_path / "lib").mkdir()
    asked = resolve_settings({"HOROVOD_GPU_OPERATIONS": "NCCL", "HOROVOD_NCCL_HOME": str(tmp_path)})
    with pytest.raises(BuildError, match=r"no nccl\.h in .* with HOROVOD_NCCL_HOME"):
        gpu.find_nccl(asked)
    header = "#define NCCL_MAJOR 2\n#define NCCL_MINOR 32\n#define NCCL_PATCH 3\n"
    (tmp_path / "include" / "nccl.h").write_text(header, encoding="utf-8")
    (tmp_path / "lib" / "libnccl.so.2").write_bytes(b"")
    found = gpu.find_nccl(asked)
    assert found is not None
    assert (found.version, found.library.name) == ("2.32.3", "libnccl.so.2")
