"""The shipped profiles against what the sites' user guides say, and that they travel in the wheel."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from horovod_lb.machines import load_machine, machine_names, minutes
from horovod_lb.machines.source import SHIPPED

ROOT = Path(__file__).parents[2]
NAMES = {"summit", "frontier", "perlmutter", "slurm-6gpu", "generic-slurm", "generic-lsf", "local"}


@pytest.mark.parametrize(
    ("name", "hours_by_nodes"),
    [
        # Summit User Guide, "Job Priority by Processor Count".
        ("summit", {1: 2, 45: 2, 46: 6, 91: 6, 92: 12, 921: 12, 922: 24, 2764: 24, 2765: 24, 4608: 24}),
        # Frontier User Guide, "Job Priority by Node Count".
        ("frontier", {1: 2, 91: 2, 92: 6, 183: 6, 184: 12, 1881: 12, 1882: 12, 5644: 12, 5645: 12, 9472: 12}),
    ],
)
def test_bins_of_the_user_guides(places, name, hours_by_nodes):
    machine = load_machine(name)
    assert {nodes: machine.bin_for(nodes).minutes for nodes in hours_by_nodes} == {
        nodes: 60 * hours for nodes, hours in hours_by_nodes.items()
    }
    assert machine.bin_for(machine.nodes + 1) is None


@pytest.mark.parametrize(
    ("name", "scheduler", "launcher", "gpus", "ranks", "cores"),
    [
        ("summit", "lsf", "jsrun", 6, 6, 7),
        ("frontier", "slurm", "srun", 8, 8, 7),
        ("perlmutter", "slurm", "srun", 4, 4, 32),
        ("slurm-6gpu", "slurm", "srun", 6, 6, 2),
    ],
)
def test_one_rank_for_each_gpu(places, name, scheduler, launcher, gpus, ranks, cores):
    machine = load_machine(name)
    assert (machine.scheduler, machine.launcher) == (scheduler, launcher)
    assert (machine.gpus_per_node, machine.ranks_per_node, machine.cores_per_rank) == (gpus, ranks, cores)


def test_summit_as_its_guide_has_it(places):
    summit = load_machine("summit")
    assert summit.account_required
    assert summit.account is None
    assert summit.submit == "file"
    assert (summit.limits.array_size, summit.limits.queued, summit.limits.eligible) == (1000, 100, 4)
    assert (summit.resume, summit.requeue_exit_code, summit.gpu_visibility) == ("requeue", 99, "one")
    assert sum("-alloc_flags" in line for line in summit.directives) == 1
    assert load_machine("generic-lsf").submit == "stdin"


def test_names(places):
    assert set(machine_names()) == NAMES
    assert all(layers == [SHIPPED / f"{name}.toml"] for name, layers in machine_names().items())


def test_local_is_this_process(places):
    local = load_machine("local")
    assert local.scheduler == "none"
    assert local.cores_per_node == local.ranks_per_node == len(os.sched_getaffinity(0))
    one = load_machine("local", overrides={"cores_per_node": 1, "ranks_per_node": 4})
    assert (one.ranks_per_node, one.cores_per_rank) == (4, 1)  # rehearsals may have more ranks than cores


@pytest.mark.parametrize(("text", "total"), [("2:00", 120), ("0:01", 1), ("48:00", 2880), ("100:59", 6059)])
def test_minutes(text, total):
    assert minutes(text) == total


@pytest.mark.parametrize("text", ["2", "2:0", "2:60", "0:00", ":30", "2:00:00", "-1:00", "1:-1", "２:00x"])
def test_no_wall_time(text):
    with pytest.raises(ValueError, match="wall time"):
        minutes(text)


def test_every_profile_is_in_the_wheel(tmp_path):
    if importlib.util.find_spec("setuptools") is None:  # to import it here would touch distutils
        pytest.skip("setuptools is not installed")
    source = tmp_path / "source"
    shutil.copytree(ROOT / "horovod_lb", source / "horovod_lb", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = "from setuptools.build_meta import build_wheel; import sys; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=source, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    inside = {Path(name).stem for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".toml")}
    assert inside >= NAMES
