from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from scripts import machine, request

from horovod_lb.errors import MachineError, RequestError
from horovod_lb.schedulers.steps import layout, once_a_node, ranks_a_node, step

# The environment's own programs first; `make test` does not activate it.
PROGRAMS = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def srun(words: Sequence[str]) -> argparse.Namespace:
    """The options of srun(1) that a step may use, read as srun does."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("nodes", "ntasks", "ntasks-per-node", "cpus-per-task", "gpus-per-node", "gpus-per-task"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("kill-on-bad-exit", "export", "mpi", "gpu-bind", "mem"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--exact", action="store_true")
    assert words[0] == "srun"
    return parser.parse_args(list(words[1:]))


def test_srun_shows_all_gpus_of_a_step_to_each_rank() -> None:
    options = srun(step(request(machine("slurm-6gpu"))))
    assert (options.nodes, options.ntasks, options.ntasks_per_node) == (2, 12, 6)
    assert (options.cpus_per_task, options.gpus_per_node, options.gpus_per_task) == (2, 6, None)
    assert (options.kill_on_bad_exit, options.export, options.mpi) == ("1", "ALL", "pmix")
    assert options.exact is False
    assert options.gpu_bind is None  # with `none` Slurm 22.05 leaves CUDA_VISIBLE_DEVICES unset


def test_srun_shows_one_gpu() -> None:
    options = srun(step(request(machine("frontier"))))
    assert (options.gpus_per_task, options.gpus_per_node) == (1, None)
    assert options.gpu_bind == "closest"  # the profile's own


def test_steps_side_by_side_take_no_more_than_they_ask_for() -> None:
    options = srun(step(request(machine("slurm-6gpu"), nodes=1, ranks=2, side_by_side=3)))
    assert (options.nodes, options.ntasks, options.gpus_per_node) == (1, 2, 2)
    assert options.exact is True
    assert options.mem == "0"


def test_ranks_are_dealt_to_nodes_in_equal_parts() -> None:
    on = machine("slurm-6gpu")
    options = srun(step(request(on, ranks=8)))
    assert (options.nodes, options.ntasks, options.ntasks_per_node, options.gpus_per_node) == (2, 8, 4, 4)
    assert ranks_a_node(request(on, ranks=8)) == 4
    assert layout(request(on, ranks=8)).even
    assert not layout(request(on, ranks=7)).even


def test_without_gpus_nothing_is_said_of_them() -> None:
    options = srun(step(request(machine("generic-slurm"))))
    assert (options.gpus_per_node, options.gpus_per_task) == (None, None)


def test_jsrun_one_visible_gpu_as_olcf_writes_it() -> None:
    words = step(request(machine("summit", launcher_options=[])))
    assert words == ("jsrun", "-n12", "-r6", "-a1", "-g1", "-c7", "-bpacked:7", "-dpacked")


def test_jsrun_all_gpus_visible() -> None:
    on = machine("summit", gpu_visibility="all", launcher_options=[])
    assert step(request(on)) == ("jsrun", "-n2", "-r1", "-a6", "-g6", "-c42", "-bpacked:7", "-dpacked")
    assert step(request(on, ranks=4)) == (
        "jsrun",
        "-n1",
        "-r1",
        "-a4",
        "-g4",
        "-c28",
        "-bpacked:7",
        "-dpacked",
    )
    with pytest.raises(RequestError, match="7 ranks on 2 nodes have unequal parts"):
        step(request(on, ranks=7))


def test_jsrun_with_fewer_ranks_than_a_node() -> None:
    on = machine("summit", launcher_options=[])
    assert step(request(on, ranks=2))[:4] == ("jsrun", "-n2", "-r2", "-a1")
    assert step(request(on, ranks=7))[:4] == ("jsrun", "-n7", "-r4", "-a1")


def test_jsrun_options_come_behind_the_layout() -> None:
    words = step(request(machine("summit", launcher_options=["--smpiargs='-gpu -x'", "-l gpu-cpu"])))
    assert words[-3:] == ("--smpiargs=-gpu -x", "-l", "gpu-cpu")


@pytest.mark.parametrize(
    "options",
    [
        ['--smpiargs="-gpu -disable_gpu_hooks"'],
        ["--smpiargs=-gpu", "-M -disable_gpu_hooks"],
        ["--smpiargs -gpu", "-M-disable_gpu_hooks"],
    ],
)
def test_jsrun_options_that_exclude_each_other(options: list[str]) -> None:
    with pytest.raises(MachineError, match=r"summit: launcher_options: .*not both"):
        step(request(machine("summit", launcher_options=options)))


@pytest.mark.parametrize("options", [["-l GPU-CPU"], ["-lGPU-CPU"], ["--latency_priority=Gpu-cpu"]])
def test_jsrun_misreads_capitals(options: list[str]) -> None:
    with pytest.raises(MachineError, match="write 'gpu-cpu'"):
        step(request(machine("summit", launcher_options=options)))


def test_a_quote_that_is_not_closed_is_named() -> None:
    with pytest.raises(MachineError, match=r"launcher_options: .*No closing quotation"):
        step(request(machine("summit", launcher_options=["--smpiargs='-gpu"])))


def test_mpirun_is_told_hosts_and_variables() -> None:
    words = step(request(machine("generic-lsf")), ("PATH", "HLB_JOB"))
    assert words[:3] == ("mpirun", "-n", "8")
    assert words[words.index("--host") + 1] == "{hosts}"
    assert words[words.index("--bind-to") + 1] == "none"
    assert [words[i + 1] for i, word in enumerate(words) if word == "-x"] == ["PATH", "HLB_JOB"]


def test_mpirun_on_this_machine_needs_no_hosts() -> None:
    words = step(request(machine("local")))
    assert "--host" not in words
    assert words[words.index("--map-by") + 1] == "slot:OVERSUBSCRIBE"


def test_horovodrun_binds_nothing_by_an_option_that_open_mpi_5_takes() -> None:
    words = step(request(machine("generic-lsf", launcher="horovodrun")))
    assert words == ("horovodrun", "-np", "8", "-H", "{hosts}", "--binding-args=--bind-to none --map-by slot")


@pytest.mark.skipif(shutil.which("horovodrun", path=PROGRAMS) is None, reason="horovodrun is not installed")
def test_horovodrun_itself_reads_these_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own parser, asked for the build it has, takes every option."""
    monkeypatch.setenv("PATH", PROGRAMS)
    words = step(request(machine("local", launcher="horovodrun"), ranks=2))
    done = subprocess.run([*words, "--check-build"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Available Frameworks" in done.stdout


@pytest.mark.parametrize("launcher", ["mpirun", "horovodrun"])
def test_launchers_that_cannot_show_one_gpu_are_refused(launcher: str) -> None:
    on = machine("slurm-6gpu", launcher=launcher, gpu_visibility="one")
    with pytest.raises(MachineError, match=f'gpu_visibility = "one" .*with {launcher} it is "all"'):
        step(request(on))


def test_a_container_goes_between_launcher_and_program() -> None:
    words = step(request(machine("slurm-6gpu", container=["apptainer exec --nv", "'my image.sif'"])))
    assert words[-4:] == ("apptainer", "exec", "--nv", "my image.sif")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nodes": 1, "ranks": 12}, "1 x 12 ranks at a time need 2 nodes of 6 ranks, and it asks for 1"),
        ({"nodes": 1, "ranks": 4, "side_by_side": 2}, "2 x 4 ranks at a time need 2 nodes"),
        ({"nodes": 2, "ranks": 12, "side_by_side": 2}, "need 4 nodes"),
        ({"nodes": 1, "ranks": 0}, "at least 1"),
    ],
)
def test_more_steps_than_nodes_can_hold(changes: dict[str, int], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        step(request(machine("slurm-6gpu"), **changes))


@pytest.mark.parametrize(
    ("changes", "ranks"),
    [
        ({"nodes": 1, "ranks": 1, "side_by_side": 6}, 6),
        ({"nodes": 2, "ranks": 3, "side_by_side": 4}, 6),
        ({"nodes": 2, "ranks": 4, "side_by_side": 2}, 4),
        ({"nodes": 4, "ranks": 12, "side_by_side": 2}, 6),
        ({"nodes": 1, "ranks": 2}, 2),
    ],
)
def test_a_job_asks_for_what_its_steps_take(changes: dict[str, int], ranks: int) -> None:
    assert ranks_a_node(request(machine("slurm-6gpu"), **changes)) == ranks


def test_a_program_once_a_node() -> None:
    assert srun(once_a_node(request(machine("slurm-6gpu")))).ntasks_per_node == 1
    assert once_a_node(request(machine("summit")))[:4] == ("jsrun", "-n2", "-r1", "-a1")
    assert "ppr:1:node" in once_a_node(request(machine("generic-lsf")))
    assert once_a_node(request(machine("local"))) == ()
