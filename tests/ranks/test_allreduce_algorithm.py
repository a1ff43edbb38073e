"""The algorithm that a study asks for is the one that the MPI library says it was given."""

from __future__ import annotations

import subprocess

import pytest
from rank_checks import HERE
from rank_launch import environment, launch

from horovod_lb.recipe.communication import ALLREDUCE_NAMES

MODULE = HERE.parents[1] / "horovod_lb" / "distributed" / "algorithm.py"


@pytest.mark.parametrize("name", ALLREDUCE_NAMES)
def test_the_algorithm_asked_for_is_in_force(name: str) -> None:
    started = launch(3, [str(HERE / "algorithm_in_force.py"), str(MODULE)], allreduce=name)
    done = subprocess.run(started.argv, env=environment(started), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split("\n")[:3] == [f"{name} {name} 6.0"] * 3
