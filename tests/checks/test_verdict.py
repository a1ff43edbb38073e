"""What follows from what ranks said; the ranks here are made up."""

from __future__ import annotations

import pytest

from horovod_lb.checks.finding import State
from horovod_lb.checks.preflight import STAGES, Outcome, Rank
from horovod_lb.checks.verdict import findings
from horovod_lb.machines import load_machine

FOLDER = {"path": "/p", "free": 1 << 40, "file_system": "lustre", "error": None}


def rank(number, host="n1", stages=4, size=2, **said):
    """A rank that is well, with `said` changed."""
    one = Rank()
    one.stages = list(STAGES[:stages])
    by_stage = [
        {"cores": [number], "variables": {}, "python": "3.11", "tmpdir": None, "ssh_config": None,
         "folders": {"runs": FOLDER}},
        {"TensorFlow": "2.21.0", "Keras": "3.15", "Horovod": "0.28.1", "MPI": "Open MPI 5", "built": ["mpi"],
         "libmpi": ["/l/libmpi.so"], "gpus": 0},
        {"rank": number, "size": size, "local_rank": 0, "threads": 1, "gpu": None, "NCCL": None,
         "allreduce": "ring", "allreduce_in_force": "ring"},
        {"wrong": None, "seconds": {"1": 0.001 * (number + 1), "64": 0.05}, "clock": 1000.0},
    ]  # fmt: skip
    one.said = {"host": host, "pid": number, "launched": [number, None]}
    for told in by_stage[:stages]:
        one.said |= told
    one.said |= said
    return one


def judge(*ranks, expected=None, code=0, tail=(), silent=None, machine=None):
    outcome = Outcome(ranks, expected or len(ranks), code, tail, silent)
    return list(findings(outcome, machine))


def problems(found):
    return [(finding.check, finding.seen) for finding in found if finding.state == State.PROBLEM]


def only(found, check, state):
    [one] = [finding for finding in found if finding.check == check and finding.state == state]
    return one


def test_all_is_well():
    found = judge(rank(0), rank(1, "n2"))
    assert {finding.state for finding in found} == {State.OK}
    # The slowest rank is what a step waits for.
    assert "1 MB in 2 ms, 64 MB in 50 ms (ring)" in only(found, "all-reduce", State.OK).seen


def test_versions_that_differ_are_named_with_their_ranks():
    found = judge(*(rank(n, f"n{n // 2}", size=4, Keras="3.12" if n == 2 else "3.15") for n in range(4)))
    assert problems(found) == [("versions", "Keras: 3.15 on ranks 0-1,3 (n0, n1); 3.12 on rank 2 on n1")]


@pytest.mark.parametrize("name", ["python", "TensorFlow", "Keras", "Horovod", "MPI", "NCCL"])
def test_each_version_counts(name):
    [(check, seen)] = problems(judge(rank(0), rank(1, **{name: "other"})))
    assert check == "versions"
    assert seen.startswith(f"{name}: ")


def test_a_rank_that_cannot_import():
    failed = rank(1, "n2", stages=2, error="ImportError: libcudart.so.12")
    found = judge(rank(0, stages=1), failed, code=1)
    [(check, seen)] = problems(found)
    assert check == "ranks"
    assert "rank 1 on n2, importing TensorFlow" in seen
    assert "libcudart" in seen


def test_more_ranks_than_gpus_is_no_trouble_of_the_network():
    text = "DistributedError: 6 ranks on this host but only 1 visible GPU"
    found = judge(*(rank(n, stages=3, error=text) for n in range(2)), code=1)
    assert "gpu_visibility" in only(found, "ranks", State.PROBLEM).remedy


def test_the_same_failure_on_many_ranks_is_one_line():
    found = judge(*(rank(n, f"n{n}", stages=2, error="ImportError: x") for n in range(6)), code=1)
    assert [seen for _, seen in problems(found)] == [
        "ranks 0-5 (n0, n1, n2, n3 and 2 more), importing TensorFlow, Keras, Horovod and MPI: ImportError: x"
    ]


def test_ranks_that_stand_still():
    found = judge(rank(0, stages=2), rank(1, stages=2), silent=30.0, code=None)
    assert problems(found) == [
        ("ranks", "ranks 0-1 (n1) silent for 30 s while meeting the others (hvd.init)")
    ]


def test_ranks_that_were_killed():
    found = judge(rank(0), rank(1, stages=2), code=137, tail=("srun: error: Killed",))
    [(_, seen)] = problems(found)
    assert "rank 1 on n1 ended by status 137 while meeting the others (hvd.init); srun: error: Killed" in seen


def test_nobody_started():
    found = judge(expected=4, code=1, tail=("srun: error: Unable to create step",))
    [(_, seen)] = problems(found)
    assert seen == "none of 4 started (launcher's status 1): srun: error: Unable to create step"


def test_some_never_spoke():
    assert ("ranks", "2 of 4 never spoke") in problems(judge(rank(0, size=4), rank(1, size=4), expected=4))


def test_ranks_that_did_not_meet():
    found = judge(rank(0, size=1), rank(1, size=1))
    assert problems(found) == [("all-reduce", "2 ranks believe to be 1")]


def test_wrong_sums():
    text = "sum of float32 over 2 ranks is [0.0], expected [1.0]"
    found = judge(rank(0), rank(1, wrong=text))
    assert problems(found) == [("all-reduce", f"rank 1 on n1: {text}")]
    assert not [finding for finding in found if finding.check == "all-reduce" and finding.state == State.OK]


def gpu(number, host="n1", visible=2, index=0, physical=None, policy="all", shown=None, **said):
    variables = {"HLB_GPUS": policy, **({"CUDA_VISIBLE_DEVICES": shown} if shown else {})}
    told = {"gpus": visible, "gpu": index, "physical_gpu": physical, "variables": variables, **said}
    return rank(number, host, built=["mpi", "nccl"], **told)


def test_each_rank_has_a_gpu_of_its_own():
    for ranks in (
        (gpu(0, index=0), gpu(1, index=1)),
        (gpu(0, policy="one", visible=1, shown="0"), gpu(1, policy="one", visible=1, shown="1")),
        (gpu(0, physical="GPU-a"), gpu(1, physical="GPU-b")),
        (gpu(0, "n1"), gpu(1, "n2")),  # the same index, another host
    ):
        assert only(judge(*ranks), "GPUs", State.OK)


@pytest.mark.parametrize(
    ("ranks", "seen"),
    [
        ((gpu(0, policy="one"), gpu(1, policy="one")), "ranks 0-1 (n1) share GPU 0"),
        ((gpu(0, physical="GPU-a"), gpu(1, index=1, physical="GPU-a")), "ranks 0-1 (n1) share GPU GPU-a"),
        ((gpu(0, visible=1, shown="3"), gpu(1, visible=1, shown="3")), "ranks 0-1 (n1) share GPU 3"),
    ],
)
def test_ranks_that_share_a_gpu(ranks, seen):
    assert problems(judge(*ranks)) == [("GPUs", seen)]


def test_policy_one_with_all_gpus_visible():
    found = judge(gpu(0, "n1", policy="one", visible=6), gpu(1, "n2", policy="one", visible=6))
    assert "all take GPU 0" in only(found, "GPUs", State.WARNING).seen


def test_gpus_that_tensorflow_does_not_see():
    found = judge(rank(0), rank(1), machine=load_machine("slurm-6gpu"))
    assert problems(found) == [("GPUs", "TensorFlow sees none on ranks 0-1 (n1); the profile says 6 a node")]


def test_horovod_without_nccl_or_mpi():
    found = judge(*(rank(n, gpus=2, gpu=n, built=["mpi"]) for n in range(2)))
    assert "no NCCL" in only(found, "versions", State.WARNING).seen
    assert ("versions", "Horovod without MPI") in problems(judge(rank(0, built=["gloo"]), rank(1)))


def test_two_libmpi_in_a_rank():
    found = judge(rank(0, libmpi=["/a/libmpi.so", "/b/libmpi.so"]), rank(1))
    assert problems(found) == [("versions", "more than one libmpi: /a/libmpi.so, /b/libmpi.so, /l/libmpi.so")]


@pytest.mark.parametrize(
    ("cores", "threads", "well"),
    [(([0], [1]), 1, True), (([0, 1], [0, 1]), 1, True), (([0], [0]), 1, False), (([0, 1], [0, 1]), 2, False),
     (([0], [1]), 7, False)],
)  # fmt: skip
def test_cores(cores, threads, well):
    found = judge(*(rank(n, cores=own, threads=threads) for n, own in enumerate(cores)))
    assert (
        bool([finding for finding in found if finding.check == "cores" and finding.state == State.OK]) == well
    )


@pytest.mark.parametrize(
    ("apart", "state"), [(0.0, State.OK), (0.9, State.OK), (5.0, State.WARNING), (100.0, State.PROBLEM)]
)
def test_clocks(apart, state):
    found = judge(rank(0), rank(1, "n2", clock=1000.0 + apart))
    assert only(found, "clocks", state).seen.startswith(("at most", "n2 is"))


def test_folders_of_each_host_count_and_are_told_once():
    full = {"runs": {**FOLDER, "error": "No space left on device"}}
    found = judge(*(rank(n, f"n{n}", size=6, folders=full if n != 3 else {"runs": FOLDER}) for n in range(6)))
    assert problems(found) == [("folder runs", "n0, n1, n2, n4 and 1 more: /p: No space left on device")]


def test_group_writable_ssh_config_is_a_problem_on_lsf_only():
    summit, cluster = load_machine("summit"), load_machine("generic-slurm")
    assert only(judge(rank(0, size=1, ssh_config=0o664), machine=summit), "ssh config", State.PROBLEM)
    assert only(judge(rank(0, size=1, ssh_config=0o664), machine=cluster), "ssh config", State.WARNING)
