from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horovod_lb.errors import RequestError, SchedulerError
from horovod_lb.schedulers.hosts import Host, Slot, expand, from_environment, pack, read_hostfile

# Slurm's documented forms, written out by hand.
LISTS = [
    ("n1", ["n1"]),
    ("n1,x", ["n1", "x"]),
    ("node[1-3,07],x", ["node1", "node2", "node3", "node07", "x"]),
    ("n[008-011]", ["n008", "n009", "n010", "n011"]),
    ("r[1-2]c[1-2],b", ["r1c1", "r1c2", "r2c1", "r2c2", "b"]),
    ("n[9-10]", ["n9", "n10"]),
    ("a-b.c_d", ["a-b.c_d"]),
]


@pytest.mark.parametrize(("text", "names"), LISTS)
def test_compressed_lists(text: str, names: list[str]) -> None:
    assert expand(text) == names


@pytest.mark.skipif(shutil.which("scontrol") is None, reason="Slurm's scontrol is not installed")
@pytest.mark.parametrize("text", [text for text, _ in LISTS])
def test_slurm_itself_expands_them_so(text: str) -> None:
    shown = subprocess.run(
        ["scontrol", "show", "hostnames", text], capture_output=True, text=True, check=False
    )
    if shown.returncode:
        pytest.skip(f"scontrol has no configuration here: {shown.stderr.strip()}")
    assert shown.stdout.split() == expand(text)


@pytest.mark.parametrize("text", ["n[1-", "n[1-2]]", "n[a-b]", "n[3-1]", "n[[1]]", "n]1["])
def test_what_is_no_host_list_is_refused(text: str) -> None:
    with pytest.raises(SchedulerError, match="no host list"):
        expand(text)


def test_slurm_counts_tasks_where_they_were_asked_for_and_cores_otherwise() -> None:
    environ = {
        "SLURM_JOB_NODELIST": "node[1-3]",
        "SLURM_TASKS_PER_NODE": "6(x2),3",
        "SLURM_JOB_CPUS_PER_NODE": "12(x3)",
    }
    asked = from_environment({**environ, "SLURM_NTASKS": "15"})
    assert asked == [Host("node1", 6), Host("node2", 6), Host("node3", 3)]
    assert from_environment(environ) == [Host("node1", 12), Host("node2", 12), Host("node3", 12)]


def test_ranks_a_node_of_the_job_script_bound_the_slots() -> None:
    environ = {"SLURM_JOB_NODELIST": "a,b", "SLURM_JOB_CPUS_PER_NODE": "42,2", "HLB_RANKS_PER_NODE": "6"}
    assert from_environment(environ) == [Host("a", 6), Host("b", 2)]


def test_slurm_variables_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(SchedulerError, match="2 hosts, but SLURM_JOB_CPUS_PER_NODE=6 counts for 1"):
        from_environment({"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_CPUS_PER_NODE": "6"})
    with pytest.raises(SchedulerError, match="cannot be understood"):
        from_environment({"SLURM_JOB_NODELIST": "n1", "SLURM_JOB_CPUS_PER_NODE": "six"})


def test_lsf_host_file_without_the_launch_node(tmp_path: Path) -> None:
    # OLCF's documentation: one host a slot, and the node where the batch script runs first.
    file = tmp_path / "hosts"
    file.write_text("batch5\n" + "h36n12\n" * 42 + "h36n13\n" * 42)
    found = from_environment({"LSB_JOBID": "7", "LSB_DJOB_HOSTFILE": str(file)})
    assert found == [Host("h36n12", 42), Host("h36n13", 42)]


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("batch2 1 a01n01 42 a01n02 42", [Host("a01n01", 42), Host("a01n02", 42)]),
        ("lassen710 1 lassen12 40", [Host("lassen12", 40)]),
        ("lava1 2 ", [Host("lava1", 2)]),
        ("n1 6 n2 6", [Host("n1", 6), Host("n2", 6)]),
        ("n1 6 n2 1", [Host("n1", 6), Host("n2", 1)]),
        ("n1 1 n2 1", [Host("n1", 1), Host("n2", 1)]),
    ],
)
def test_lsf_pairs(text: str, hosts: list[Host]) -> None:
    assert from_environment({"LSB_JOBID": "7", "LSB_MCPU_HOSTS": text}) == hosts


def test_lsf_hosts_a_slot_each() -> None:
    assert from_environment({"LSB_JOBID": "1", "LSB_HOSTS": "lava1 lava1"}) == [Host("lava1", 2)]


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"LSB_JOBID": "7", "LSB_MCPU_HOSTS": "n1 6 n2"}, "not a list of hosts and numbers"),
        ({"LSB_JOBID": "7"}, "name no host"),
        ({"LSB_DJOB_HOSTFILE": "/nowhere/hosts"}, "/nowhere/hosts cannot be read"),
    ],
)
def test_lsf_variables_that_say_nothing(environ: dict[str, str], words: str) -> None:
    with pytest.raises(SchedulerError, match=words):
        from_environment(environ)


def test_no_allocation() -> None:
    assert from_environment({"HOME": "/root", "SLURM_CONF": "/etc/slurm.conf"}) is None


def test_host_files(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("# two racks\nn1:6\nn2 slots=4   # smaller\n\nn3\nn3\nn1:2\n")
    assert read_hostfile(file, slots=2) == [Host("n1", 8), Host("n2", 4), Host("n3", 4)]


@pytest.mark.parametrize("line", ["n1:0", "n1 6", "n1 slots=x", "n1:6 n2:6", "a;b", "n1:-1"])
def test_a_line_that_is_no_host_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "hosts"
    file.write_text(f"n0:6\n{line}\n")
    with pytest.raises(RequestError, match="hosts, line 2: "):
        read_hostfile(file)


def test_host_files_that_are_not_there_or_empty(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot be read"):
        read_hostfile(tmp_path / "none")
    (tmp_path / "empty").write_text("# nothing\n")
    with pytest.raises(RequestError, match="names no host"):
        read_hostfile(tmp_path / "empty")


def test_small_runs_share_a_host_with_gpus_of_their_own() -> None:
    assert pack([Host("a", 6), Host("b", 6)], 2) == [
        Slot("a:2", (0, 1)),
        Slot("a:2", (2, 3)),
        Slot("a:2", (4, 5)),
        Slot("b:2", (0, 1)),
        Slot("b:2", (2, 3)),
        Slot("b:2", (4, 5)),
    ]


def test_a_run_alone_on_its_host_sees_all_gpus() -> None:
    assert pack([Host("a", 6)], 4) == [Slot("a:4", None)]


def test_larger_runs_have_equal_parts_on_whole_hosts() -> None:
    hosts = [Host(name, 42) for name in "abcde"]
    assert pack(hosts, 8, 6) == [Slot("a:4,b:4"), Slot("c:4,d:4")]
    assert pack(hosts, 12, 6) == [Slot("a:6,b:6"), Slot("c:6,d:6")]
    assert pack(hosts, 7, 6) == [Slot("a:4,b:3"), Slot("c:4,d:3")]


def test_a_host_too_small_is_passed_over() -> None:
    assert pack([Host("a", 1), Host("b", 6), Host("c", 6)], 12) == [Slot("b:6,c:6")]


def test_a_run_that_does_not_fit_is_refused() -> None:
    with pytest.raises(RequestError, match=r"13 ranks does not fit on these hosts \(a 6, b 6\)"):
        pack([Host("a", 6), Host("b", 6)], 13)
    with pytest.raises(RequestError, match="at least one rank"):
        pack([Host("a", 6)], 0)


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=8),
    st.integers(1, 40),
    st.integers(1, 12),
)
def test_slots_never_ask_a_host_for_more_than_it_has(room: list[int], ranks: int, per_node: int) -> None:
    hosts = [Host(f"n{i}", slots) for i, slots in enumerate(room)]
    try:
        slots = pack(hosts, ranks, per_node)
    except RequestError:
        # Then no two neighbours, three, ... can hold it with equal parts.
        spans = [room[i:j] for i in range(len(room)) for j in range(i + 1, len(room) + 1)]
        assert all(min(min(part), per_node) * len(part) < ranks for part in spans)
        return
    used: dict[str, int] = {}
    gpus: dict[str, list[int]] = {}
    for slot in slots:
        parts = [part.split(":") for part in slot.hosts.split(",")]
        assert sum(int(count) for _, count in parts) == ranks
        for name, count in parts:
            used[name] = used.get(name, 0) + int(count)
            gpus.setdefault(name, []).extend(slot.gpus or ())
    for host in hosts:
        assert used.get(host.name, 0) <= min(host.slots, per_node)
        own = gpus.get(host.name, [])
        assert len(set(own)) == len(own)
        assert all(gpu < host.slots for gpu in own)
