from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from horovod_lb.errors import BuildError
from horovod_lb.wheel import settings

BUILD_FREE = {k: v for k, v in os.environ.items() if not k.startswith("HOROVOD_")}


def test_mpi_and_tensorflow_alone_by_default() -> None:
    found = settings.resolve_settings({"HOROVOD_FUSION_THRESHOLD": "0", "PATH": "/bin"})
    assert found.variables == {
        "HOROVOD_WITHOUT_GLOO": "1",
        "HOROVOD_WITHOUT_MXNET": "1",
        "HOROVOD_WITHOUT_NVTX": "1",
        "HOROVOD_WITHOUT_PYTORCH": "1",
        "HOROVOD_WITH_MPI": "1",
        "HOROVOD_WITH_TENSORFLOW": "1",
    }
    assert (found.gloo, found.gpu, found.nccl) == (False, False, False)


def test_gloo_and_nccl_by_the_usual_variables() -> None:
    asked = {
        "HOROVOD_WITH_GLOO": "1",
        "HOROVOD_GPU_OPERATIONS": "NCCL",
        "HOROVOD_BUILD_CUDA_CC_LIST": "80,90",
    }
    found = settings.resolve_settings(asked)
    assert (found.gloo, found.gpu, found.nccl) == (True, True, True)
    assert asked.items() <= found.variables.items()
    assert "HOROVOD_WITHOUT_GLOO" not in found.variables
    assert "HOROVOD_WITHOUT_NVTX" not in found.variables
    single = settings.resolve_settings({"HOROVOD_GPU_ALLREDUCE": "NCCL", "HOROVOD_GPU_BROADCAST": "MPI"})
    assert (single.gpu, single.nccl) == (True, True)


def test_contradictions_are_told() -> None:
    with pytest.raises(BuildError, match="HOROVOD_WITH_GLOO=1 and HOROVOD_WITHOUT_GLOO=1 are both set"):
        settings.resolve_settings({"HOROVOD_WITH_GLOO": "1", "HOROVOD_WITHOUT_GLOO": "1"})
    with pytest.raises(BuildError, match="starts its ranks through MPI: unset it"):
        settings.resolve_settings({"HOROVOD_WITHOUT_MPI": "1"})


def test_gpu_operations_without_nvcc() -> None:
    asked = settings.resolve_settings(
        {"HOROVOD_GPU_OPERATIONS": "NCCL", "HOROVOD_CUDA_HOME": "/nowhere/cuda"}
    )
    with pytest.raises(BuildError, match="nvcc, and there is none in HOROVOD_CUDA_HOME=/nowhere/cuda"):
        settings.find_nvcc(asked, BUILD_FREE)


def test_nvcc_release(program: Callable[[str, str], Path]) -> None:
    nvcc = program("nvcc", 'echo "Cuda compilation tools, release 12.5, V12.5.82"')
    (nvcc.parent / "bin").symlink_to(nvcc.parent)
    asked = settings.resolve_settings(
        {"HOROVOD_GPU_OPERATIONS": "NCCL", "HOROVOD_CUDA_HOME": str(nvcc.parent)}
    )
    assert settings.find_nvcc(asked, BUILD_FREE) == "12.5.82"


def test_nccl_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "include").mkdir()
    (tmp_path / "lib").mkdir()
    asked = settings.resolve_settings({"HOROVOD_GPU_OPERATIONS": "NCCL", "HOROVOD_NCCL_HOME": str(tmp_path)})
    with pytest.raises(BuildError, match=r"no nccl\.h in .* with HOROVOD_NCCL_HOME"):
        settings.find_nccl(asked)
    header = "#define NCCL_MAJOR 2\n#define NCCL_MINOR 32\n#define NCCL_PATCH 3\n"
    (tmp_path / "include" / "nccl.h").write_text(header, encoding="utf-8")
    (tmp_path / "lib" / "libnccl.so.2").write_bytes(b"")
    found = settings.find_nccl(asked)
    assert found is not None
    assert (found.version, found.library.name) == ("2.32.3", "libnccl.so.2")
