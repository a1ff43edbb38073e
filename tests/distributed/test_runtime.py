"""Which GPU and how many threads a rank takes: pure functions of what the launcher shows."""

from __future__ import annotations

import os

import pytest

import horovod_lb as hlb
from horovod_lb.distributed.runtime import gpu_index, threads_per_rank
from horovod_lb.errors import DistributedError, RecipeError


@pytest.mark.parametrize(
    ("policy", "local_rank", "local_size", "visible", "expected"),
    [
        ("all", 0, 6, 0, None),
        ("one", 3, 6, 0, None),
        ("all", 0, 6, 6, 0),
        ("all", 5, 6, 6, 5),
        ("all", 1, 2, 6, 1),
        ("one", 5, 6, 1, 0),
    ],
)
def test_gpu_of_a_rank(
    policy: str, local_rank: int, local_size: int, visible: int, expected: int | None
) -> None:
    assert gpu_index(policy, local_rank, local_size, visible) == expected


@pytest.mark.parametrize("local_rank", range(6))
def test_more_ranks_than_gpus_are_refused_on_every_rank(local_rank: int) -> None:
    with pytest.raises(DistributedError, match=r"6 ranks on this host but only 1 visible GPU: .*'one'"):
        gpu_index("all", local_rank, 6, 1)


@pytest.mark.parametrize(("stated", "ranks", "expected"), [("3", 2, 3), ("0", 1, None), ("many", 1, None)])
def test_threads_that_the_launcher_states(
    monkeypatch: pytest.MonkeyPatch, stated: str, ranks: int, expected: int | None
) -> None:
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", stated)
    assert threads_per_rank(ranks) == (expected or max(1, len(os.sched_getaffinity(0)) // ranks))


@pytest.mark.parametrize(("cores", "ranks", "expected"), [(42, 6, 7), (8, 3, 2), (2, 4, 1), (1, 1, 1)])
def test_cores_are_divided_among_the_ranks(
    monkeypatch: pytest.MonkeyPatch, cores: int, ranks: int, expected: int
) -> None:
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    assert threads_per_rank(ranks) == expected


def test_unknown_names_are_refused_before_horovod_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("horovod_lb.distributed.runtime._world", None)
    with pytest.raises(DistributedError, match="'each' is not known; it is one of all, one"):
        hlb.init(gpus="each")
    with pytest.raises(RecipeError, match="'tree' is not known"):
        hlb.init(allreduce="tree")
    monkeypatch.setenv("HLB_GPUS", "some")  # the batch job's word is checked like the script's own
    with pytest.raises(DistributedError, match="'some' is not known"):
        hlb.init()
