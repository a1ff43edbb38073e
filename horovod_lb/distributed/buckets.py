"""Cut a list of gradients into buckets, each reduced by one grouped all-reduce."""

from __future__ import annotations

from collections.abc import Sequence

# Up to here the size does not matter; larger buckets wait for more layers (docs/benchmarks.md).
DEFAULT_BUCKET_BYTES = 8 * 2**20


def plan_buckets(sizes: Sequence[int], bucket_bytes: int) -> list[list[int]]:
    """Group the indices of `sizes` (bytes, in forward order) into buckets in backward order.

    The backward pass makes the last layer's gradients first, so buckets fill from the end: the first one can
    be reduced while earlier layers are still at work. The plan depends on the sizes alone; with it the order
    of additions, and so the result, is the same on every repetition. A bucket holds at most `bucket_bytes`,
    or one gradient that is larger.
    """
    buckets: list[list[int]] = []
    room = 0
    for index in reversed(range(len(sizes))):
        if not buckets or sizes[index] > room:
            buckets.append([])
            room = bucket_bytes
        buckets[-1].append(index)
        room -= sizes[index]
    return buckets
