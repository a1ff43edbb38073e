"""The NCCL build, in the environment that `make test-nccl-build` makes; deselected everywhere else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from horovod_lb.wheel import build, plan, selftest
from horovod_lb.wheel.cache import default_root
from horovod_lb.wheel.settings import recall

pytestmark = pytest.mark.nccl


@pytest.fixture(scope="module")
def here() -> plan.Plan:
    return plan.make_plan(recall(os.environ, Path(sys.prefix)))


def test_the_installed_wheel_is_the_nccl_one(here: plan.Plan) -> None:
    assert here.settings.nccl
    assert here.nccl is not None
    assert "cuda" in here.facts
    assert build.installed_key() == here.key


def test_it_imports_and_was_built_with_the_packages_nccl(here: plan.Plan) -> None:
    script = "import horovod.tensorflow as h; print(h.nccl_built(), h.cuda_built(), h.mpi_built())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    code, cuda, mpi = done.stdout.split()
    assert here.nccl is not None
    major, minor, patch = map(int, here.nccl.version.split("."))
    assert int(code) == major * 10000 + minor * 100 + patch  # NCCL_VERSION of nccl.h since 2.9
    assert (cuda, mpi) == ("True", "True")


def test_it_reduces_on_two_ranks(here: plan.Plan, tmp_path: Path) -> None:
    selftest.self_test(selftest.trial(here), os.environ, tmp_path / "log")


def test_kernels_are_for_the_gpus_asked_for() -> None:
    """The build log names the architectures of HOROVOD_BUILD_CUDA_CC_LIST, and no others."""
    key = build.installed_key()
    log = default_root(os.environ) / "wheels" / str(key) / "build.log"
    found = set(re.findall(r"compute_(\d+)", log.read_text(encoding="utf-8")))
    assert found == set(os.environ["HOROVOD_BUILD_CUDA_CC_LIST"].split(","))
