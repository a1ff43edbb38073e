"""Buckets of gradients: a partition, in backward order, within their size."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from horovod_lb.distributed.buckets import plan_buckets


@given(st.lists(st.integers(0, 1000), max_size=60), st.integers(1, 3000))
def test_buckets_partition_the_gradients_in_backward_order(sizes: list[int], bucket_bytes: int) -> None:
    buckets = plan_buckets(sizes, bucket_bytes)
    assert [index for bucket in buckets for index in bucket] == list(reversed(range(len(sizes))))
    for bucket in buckets:
        assert len(bucket) == 1 or sum(sizes[index] for index in bucket) <= bucket_bytes


@given(st.lists(st.integers(0, 1000), max_size=60), st.integers(1, 3000))
def test_no_bucket_could_have_held_the_next_gradient(sizes: list[int], bucket_bytes: int) -> None:
    buckets = plan_buckets(sizes, bucket_bytes)
    for bucket, following in itertools.pairwise(buckets):
        assert sum(sizes[index] for index in bucket) + sizes[following[0]] > bucket_bytes


def test_an_example() -> None:
    assert plan_buckets([4, 4, 4, 9, 2, 2], 8) == [[5, 4], [3], [2, 1], [0]]
    assert plan_buckets([], 8) == []
