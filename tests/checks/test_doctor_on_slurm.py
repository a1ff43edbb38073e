"""Slurm's answers, as seen on a real one (22.05), and what the profile should say instead."""

from __future__ import annotations

import pytest

from horovod_lb.checks import slurm
from horovod_lb.checks.finding import State
from horovod_lb.machines import load_machine

SINFO = (
    "batch*|12|gpu:6|1-00:00:00|4|up\ndebug|12|gpu:6|30:00|4|up\nbig|64+|gpu:a100:4(S:0-1)|infinite|9|up\n"
)
MPI = """MPI plugin types are...
\tpmix
\tnone
\tcray_shasta
\tpmi2
specific pmix plugin versions available: pmix_v4
"""


def machine(**changes):
    fitting = {"mpi": "pmix", "limits.array_size": 1000}
    return load_machine("slurm-6gpu", overrides={**fitting, **changes})


@pytest.fixture
def site(only_programs):
    """A Slurm that answers everything; `site(name, body)` changes one command."""
    for name in slurm.COMMANDS:
        only_programs(name, "exit 0")
    only_programs("sinfo", f"echo '{SINFO.strip()}'")
    only_programs("scontrol", "echo 'MaxArraySize            = 1001'")
    only_programs("sacctmgr", "echo root; echo stf008; echo stf008")
    only_programs("srun", f"echo '{MPI}'")
    return only_programs


def found(profile):
    return {finding.check: finding for finding in slurm.slurm_findings(profile)}


def test_partitions():
    batch, debug, big = slurm.parse_partitions(SINFO)
    assert (batch.name, batch.default, batch.cpus, batch.gpus, batch.minutes, batch.nodes) == (
        "batch", True, 12, 6, 1440, 4,
    )  # fmt: skip
    assert (debug.default, debug.minutes) == (False, 30)
    assert (big.cpus, big.gpus, big.minutes) == (64, 4, None)


def test_a_partition_of_two_kinds_of_nodes_counts_as_its_smaller():
    [one] = slurm.parse_partitions(
        "p|64|gpu:v100:4,craynetwork:4|2:00:00|10|up\np|32|gpu:2|2:00:00|5|drain\n"
    )
    assert (one.cpus, one.gpus, one.nodes, one.minutes, one.up) == (32, 2, 15, 120, True)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("30:00", 30), ("1-00:00:00", 1440), ("2-12", 3600), ("2-12:30", 3630), ("12:00:00", 720),
     ("infinite", None), ("0:30", 1), ("n/a", None)],
)  # fmt: skip
def test_time_limits(text, minutes):
    assert slurm._minutes(text) == minutes


def test_all_is_well(site):
    bins = [{"nodes": [1, 4], "limit": "24:00"}]
    findings = found(machine(walltimes=bins))
    assert {finding.state for finding in findings.values()} == {State.OK}
    assert "stf008" in findings["account"].seen
    assert "4 nodes of 12 CPUs and 6 GPUs, at most 24:00" in findings["partition"].seen


@pytest.mark.parametrize(
    ("changes", "check", "state", "words"),
    [
        ({"queue": "gpu"}, "partition", State.PROBLEM, "set queue to one of batch, debug, big"),
        ({}, "partition", State.WARNING, '[[walltimes]] nodes = [1, 4], limit = "24:00"'),
        ({"queue": "big"}, "partition", State.PROBLEM, "gpus_per_node = 6"),
        ({"queue": "big", "gpus_per_node": 4}, "partition", State.WARNING, "cores_per_node = 12"),
        (
            {"walltimes": [{"nodes": [1, 4], "limit": "48:00"}]},
            "partition",
            State.PROBLEM,
            "would wait for ever",
        ),
        ({"cores_per_node": 24}, "partition", State.PROBLEM, "cores_per_node = 24"),
        ({"account": "nobody"}, "account", State.PROBLEM, "set account to one of root, stf008"),
        ({"account_required": True}, "account", State.PROBLEM, "--account: one of root, stf008"),
        ({"account": "STF008"}, "account", State.OK, ""),
        ({"limits.array_size": 1001}, "arrays", State.PROBLEM, "set array_size = 1000"),
        ({"limits.array_size": ""}, "arrays", State.WARNING, "set array_size = 1000"),
        ({"mpi": "pmi1"}, "srun --mpi", State.PROBLEM, "set mpi"),
        ({"mpi": "pmix_v4"}, "srun --mpi", State.OK, ""),
    ],
)
def test_profile_and_site_differ(site, changes, check, state, words):
    finding = found(machine(**changes))[check]
    assert finding.state == state
    assert words in finding.remedy


@pytest.mark.parametrize(
    ("name", "body", "check", "state"),
    [
        ("sinfo", "echo 'slurm_load_partitions: Unable to contact slurm controller' >&2; exit 1",
         "Slurm answers", State.PROBLEM),
        ("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1", "sacct", State.WARNING),
        ("sinfo", "echo 'batch*|12|gpu:6|1-00:00:00|4|down'", "partition", State.PROBLEM),
        ("sacctmgr", "exit 1", "account", State.OK),  # no records to compare with is no problem
        ("scontrol", "exit 1", "arrays", State.WARNING),
    ],
)  # fmt: skip
def test_a_part_that_does_not_answer(site, name, body, check, state):
    site(name, body)
    assert found(machine())[check].state == state


def test_controller_is_down_and_nothing_else_is_asked(site):
    site("sinfo", "exit 1")
    assert list(found(machine())) == ["Slurm commands", "Slurm answers"]


def test_commands_are_missing(only_programs):
    only_programs("sbatch", "exit 0")
    [finding] = slurm.slurm_findings(machine())
    assert finding.state == State.PROBLEM
    assert "squeue" in finding.seen
    assert "sbatch" not in finding.seen
