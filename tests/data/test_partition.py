"""The partition over groups, workers and ranks: nothing left out, nothing twice, sizes that differ by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horovod_lb.data.partition import group_bounds, shard, worker_groups
from horovod_lb.errors import RecipeError

sizes = st.integers(0, 10_000)
parts = st.integers(1, 300)


@given(sizes, parts)
def test_groups_cover_the_batch_evenly(size: int, groups: int) -> None:
    bounds = group_bounds(size, groups)
    assert bounds.dtype == "int64" and len(bounds) == groups + 1
    assert bounds[0] == 0 and bounds[-1] == size
    lengths = (bounds[1:] - bounds[:-1]).tolist()
    assert set(lengths) <= {size // groups, -(-size // groups)}


@given(sizes, parts)
def test_shards_cover_the_examples_evenly(examples: int, ranks: int) -> None:
    shards = [shard(examples, rank, ranks) for rank in range(ranks)]
    seen = [i for part in shards for i in range(examples)[part]]
    assert seen == list(range(examples))
    lengths = {part.stop - part.start for part in shards}
    assert lengths <= {examples // ranks, -(-examples // ranks)}


@given(st.integers(1, 40), st.integers(1, 40))
def test_workers_share_the_groups_equally(workers: int, groups_per_worker: int) -> None:
    groups = workers * groups_per_worker
    dealt = [worker_groups(groups, workers, rank) for rank in range(workers)]
    assert [len(share) for share in dealt] == [groups_per_worker] * workers
    assert [group for share in dealt for group in share] == list(range(groups))


def test_more_ranks_than_examples() -> None:
    assert sorted(len(range(3)[shard(3, rank, 5)]) for rank in range(5)) == [0, 0, 1, 1, 1]
    assert group_bounds(2, 4).tolist() == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: worker_groups(6, 4, 0), "6 groups cannot be dealt to 4 workers"),
        (lambda: worker_groups(6, 3, 3), "no rank 3 among 3 workers"),
        (lambda: worker_groups(0, 1, 0), "0 groups"),
        (lambda: shard(10, -1, 2), "no rank -1 among 2 ranks"),
        (lambda: shard(10, 0, 0), "no rank 0 among 0 ranks"),
        (lambda: group_bounds(8, 0), "8 examples cannot be cut into 0 groups"),
    ],
)
def test_a_partition_without_meaning_is_refused(call, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        call()
