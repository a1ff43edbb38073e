from __future__ import annotations

import dataclasses
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from horovod_lb.errors import BuildError
from horovod_lb.wheel import plan, selftest, site
from horovod_lb.wheel.settings import recall

#: A Horovod that never communicates: each rank gets its own values back (the silent failure worth fearing).
SILENT = """
import os
Sum, Average = "sum", "average"
def init(): pass
def shutdown(): pass
def rank(): return int(os.environ["OMPI_COMM_WORLD_RANK"])
def size(): return int(os.environ["OMPI_COMM_WORLD_SIZE"])
def allreduce(tensor, op, name): return tensor
def broadcast(tensor, root_rank, name): return tensor
def grouped_allreduce(tensors, op, name): return tensors
def mpi_built(): return True
def gloo_built(): return False
def nccl_built(): return 0
"""


@pytest.fixture(scope="module")
def here() -> plan.Plan:
    if importlib.util.find_spec("horovod") is None:
        pytest.skip("Horovod is not installed: run `make setup`")
    env = recall(os.environ, Path(sys.prefix))
    if site.wanted(env):
        pytest.skip("the Horovod here is the site's: no plan to build it by")
    return plan.make_plan(env)


def launched_by(here: plan.Plan, mpirun: Path) -> selftest.Trial:
    return selftest.trial(dataclasses.replace(here, mpi=dataclasses.replace(here.mpi, mpirun=mpirun)))


def package(folder: Path, name: str, text: str) -> dict[str, str]:
    """An environment whose Python finds `text` as the module `name` before any other."""
    path = folder / "shadow" / name.replace(".", "/")
    path.mkdir(parents=True)
    (folder / "shadow" / name.split(".")[0] / "__init__.py").touch()
    (path / "__init__.py").write_text(text, encoding="utf-8")
    return {**os.environ, "PYTHONPATH": str(folder / "shadow")}


def test_the_installed_horovod_passes_and_other_wishes_do_not(here: plan.Plan, tmp_path: Path) -> None:
    reports, finished = selftest.run_ranks(selftest.trial(here), os.environ, tmp_path / "log")
    assert selftest.find_problem(selftest.trial(here), reports, finished) is None
    assert [report["rank"] for report in reports] == [0, 1]

    elsewhere = dataclasses.replace(here, mpi=dataclasses.replace(here.mpi, library_folder=tmp_path))
    found = selftest.find_problem(selftest.trial(elsewhere), reports, finished)
    assert f"built against {tmp_path}" in str(found)
    asks = dataclasses.replace(here, settings=dataclasses.replace(here.settings, nccl=not here.settings.nccl))
    assert "NCCL is" in str(selftest.find_problem(selftest.trial(asks), reports, finished))
    assert "1 of 2 ranks reported" in str(selftest.find_problem(selftest.trial(here), reports[:1], finished))


def test_ranks_that_never_communicate_are_caught(here: plan.Plan, tmp_path: Path) -> None:
    env = package(tmp_path, "horovod.tensorflow", SILENT)
    with pytest.raises(
        BuildError, match=r"rank 0: sum of float32 over 2 ranks is \[0.0, .* expected \[1.0, 3.0"
    ):
        selftest.self_test(selftest.trial(here), env, tmp_path / "log")


def test_ranks_of_another_mpi_do_not_find_each_other(
    here: plan.Plan, tmp_path: Path, program: Callable[[str, str], Path]
) -> None:
    # What a launcher of another MPI does: it starts the processes, and each believes to be alone.
    foreign = program("mpirun", 'while [ "$1" != "none" ]; do shift; done; shift; "$@" & "$@" & wait')
    with pytest.raises(BuildError, match=r"did not find each other \(sizes \[1\], expected 2\)"):
        selftest.self_test(launched_by(here, foreign), os.environ, tmp_path / "log")


def test_horovod_that_does_not_load(here: plan.Plan, tmp_path: Path) -> None:
    env = package(tmp_path, "tensorflow", 'raise ImportError("undefined symbol: AsGpuStreamValue")')
    with pytest.raises(BuildError, match="ImportError: undefined symbol: AsGpuStreamValue"):
        selftest.self_test(selftest.trial(here), env, tmp_path / "log")


def test_launcher_that_refuses(here: plan.Plan, tmp_path: Path, program: Callable[[str, str], Path]) -> None:
    refusing = program("mpirun", 'echo "mpirun is not allowed on login nodes"; echo "-----"; exit 3')
    with pytest.raises(
        BuildError, match="status 3 and 0 of 2 ranks reported: mpirun is not allowed on login"
    ):
        selftest.self_test(launched_by(here, refusing), os.environ, tmp_path / "log")
