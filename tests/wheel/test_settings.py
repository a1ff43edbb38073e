from __future__ import annotations

import os

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
