"""The step of `hlb preflight`: where it would run, its words, and launchers that misbehave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from horovod_lb.checks import preflight
from horovod_lb.errors import RequestError
from horovod_lb.machines import load_machine
from horovod_lb.machines.rank import MARK
from horovod_lb.schedulers.hosts import Host
from horovod_lb.schedulers.launchers import Launch

SLURM = {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_NTASKS": "12", "SLURM_TASKS_PER_NODE": "6(x2)"}
LSF = {"LSB_JOBID": "7", "LSB_MCPU_HOSTS": "batch5 1 a01 42 a02 42"}


def summit(**changes):
    return load_machine("summit", overrides=changes)


@pytest.mark.parametrize(
    ("name", "environ", "hosts"),
    [
        ("slurm-6gpu", SLURM, ["n1", "n2"]),
        ("summit", LSF, ["a01", "a02"]),  # not the launch node
        (None, SLURM, ["n1", "n2"]),
        ("local", SLURM, None),
        ("local", {}, None),
    ],
)
def test_hosts_of_the_allocation(name, environ, hosts):
    found = preflight.allocation(load_machine(name) if name else None, None, environ)
    assert (found and [host.name for host in found]) == hosts


def test_hosts_of_a_file(tmp_path):
    file = tmp_path / "hosts"
    file.write_text("a slots=3\nb\n")
    machine = load_machine("slurm-6gpu")
    assert preflight.allocation(machine, file, {}) == [Host("a", 3), Host("b", 6)]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "slurm-6gpu",
            "`salloc --nodes=2 --ntasks-per-node=6 --cpus-per-task=2 --gpus-per-node=6 --time=0:10:00`",
        ),
        ("frontier", "--gpus-per-node=8 --account=ACCOUNT --partition=batch"),
        ("summit", '`bsub -Is -nnodes 2 -W 0:10 -P ACCOUNT -q batch -alloc_flags "smt1" $SHELL`'),
        (None, "inside an allocation (salloc, bsub -Is) or a job"),
    ],
)
def test_outside_of_an_allocation_it_says_what_to_type(name, words):
    with pytest.raises(RequestError) as caught:
        preflight.allocation(load_machine(name) if name else None, None, {})
    assert words in str(caught.value)
    assert "--machine local" in str(caught.value)


def test_words_of_the_launchers():
    two = [Host("a", 6), Host("b", 6)]
    start, ranks = preflight.launch(load_machine("slurm-6gpu"), two, None, {"runs": "/r"})
    assert ranks == 12
    assert start.argv[:2] == ("bash", "-c")
    assert start.argv[4] == "srun"
    assert {"--mpi=pmix", "--ntasks=12", "--cpus-per-task=2"} <= set(start.argv)
    assert start.argv[-5:] == (sys.executable, "-m", "horovod_lb.training.preflight", "--folder", "runs=/r")
    assert start.environment["HLB_GPUS"] == "all"

    start, ranks = preflight.launch(summit(), two, None, {})
    assert ranks == 12
    assert start.argv[4:10] == ("jsrun", "-n12", "-r6", "-a1", "-g1", "-c7")
    assert start.environment["HLB_GPUS"] == "one"

    start, ranks = preflight.launch(load_machine("generic-lsf"), two, 6, {})
    assert start.argv[start.argv.index("--host") + 1] == "a:3,b:3"
    assert start.argv[4].endswith("/mpirun")

    start, ranks = preflight.launch(None, [Host("a", 2), Host("b", 2)], None, {})
    assert (ranks, start.argv[start.argv.index("--host") + 1]) == (4, "a:2,b:2")


def test_a_step_is_in_the_environment_of_a_job(tmp_path):
    """The script is run with a `module` that notes what it was asked for, and a step that prints."""
    changes = {
        "modules": ["cuda", "gcc/12"],
        "setup": ["export SITE=valley"],
        "environment": {"QUOTED": "a b $(id) `id` ; 'x'"},
    }
    machine = load_machine("slurm-6gpu", overrides=changes)
    script = preflight.site_script(machine, machine.environment)
    module = f"module() {{ printf '%s\n' \"$@\" > {tmp_path}/asked; }}; export -f module\n"
    step = ["sh", "-c", 'echo "$SITE|$QUOTED|$SLURM_GPU_BIND|$SLURM_CPU_BIND_TYPE|$SLURM_JOB_ID"']
    done = subprocess.run(
        ["bash", "-c", module + script, "bash", *step],
        env={
            "PATH": os.environ["PATH"],
            "SLURM_GPU_BIND": "x",
            "SLURM_CPU_BIND_TYPE": "y",
            "SLURM_JOB_ID": "7",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "valley|a b $(id) `id` ; 'x'|||7\n"
    assert (tmp_path / "asked").read_text().split() == ["load", "cuda", "gcc/12"]
    wrong = "module() { return 1; }; export -f module\n"
    assert subprocess.run(["bash", "-c", wrong + script, "bash", *step]).returncode == 1


def test_words_with_a_container(monkeypatch):
    monkeypatch.setenv("IMAGE", "/images/tf.sif")
    machine = load_machine("slurm-6gpu", overrides={"container": ["apptainer exec", "$IMAGE"]})
    start, _ = preflight.launch(machine, [Host("a", 6)], None, {})
    words = ("apptainer", "exec", "/images/tf.sif", "python3", "-m", "horovod_lb.training.preflight")
    assert start.argv[-6:] == words


def test_ranks_that_do_not_fit():
    with pytest.raises(RequestError):
        preflight.launch(load_machine("slurm-6gpu"), [Host("a", 6)], 7, {})


def said(number, stage, **more):
    line = {"stage": stage, "host": "h", "pid": number, "launched": [number, None], **more}
    return f"echo; echo '{MARK}{json.dumps(line)}'"


def outcome(tmp_path, script, expected=1, silence=20.0):
    program = tmp_path / "launcher"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    *_, last = preflight.run(Launch((str(program),), {}), expected, silence)
    return last


def test_what_a_launcher_says_is_kept(tmp_path):
    script = "\n".join(
        [
            "echo 'srun: warning: something' >&2",
            said(1, "start"),
            said(0, "start"),
            f"printf 'noise {MARK}not json\\n'",
            said(0, "versions", TensorFlow="2"),
            "exit 3",
        ]
    )
    last = outcome(tmp_path, script, expected=2)
    assert [rank.number for rank in last.ranks] == [0, 1]
    assert last.ranks[0].stages == ["start", "versions"]
    assert last.ranks[0].said["TensorFlow"] == "2"
    assert last.code == 3
    assert last.tail[0] == "srun: warning: something"
    assert "not json" in last.tail[1]


def test_silence_ends_the_step(tmp_path):
    begin = time.monotonic()
    last = outcome(tmp_path, f"{said(0, 'start')}\nsleep 60", silence=0.5)
    assert time.monotonic() - begin < 20
    assert (last.code, last.silent) == (None, 0.5)
    assert last.ranks[0].doing == "importing TensorFlow, Keras, Horovod and MPI"


def test_news_of_any_rank_breaks_the_silence(tmp_path):
    words = "\nsleep 0.4\n".join(said(n, "start") for n in range(4))
    last = outcome(tmp_path, words, expected=4, silence=1.0)
    assert (last.code, last.silent, len(last.ranks)) == (0, None, 4)


def test_a_rank_that_failed_is_not_waited_for_long(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "_AFTERMATH_SECONDS", 0.3)
    begin = time.monotonic()
    last = outcome(tmp_path, f"{said(0, 'versions', error='ImportError: x')}\nsleep 60", silence=50.0)
    assert time.monotonic() - begin < 20
    assert last.silent is None
    assert last.ranks[0].error == "ImportError: x"


def test_processes_are_gone_afterwards(tmp_path):
    outcome(tmp_path, f"sleep 61 & echo $! > {tmp_path}/pid; sleep 60", silence=0.5)
    pid = int((tmp_path / "pid").read_text())
    status = Path(f"/proc/{pid}/stat")
    assert not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_a_launcher_that_is_not_there():
    with pytest.raises(
        RequestError, match=r"/none/srun cannot be started \(No such file.*launcher in the machine"
    ):
        list(preflight.run(Launch(("/none/srun",), {}), 1, 1.0))
