"""Every example exactly once an epoch over k ranks, and an order that k does not change.

Through `Portion`, by which the run loop asks for a rank's examples, for any sizes: N and B that do not
divide, more groups than examples, several epochs in a batch.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from horovod_lb.data.order import REMAINDERS, Order
from horovod_lb.data.partition import shard
from horovod_lb.data.portion import Portion
from horovod_lb.recipe.timeline import lay_out

sizes = st.integers(1, 60)
batches = st.integers(1, 130)
groups_each = st.integers(1, 4)
seeds = st.integers(0, 2**64 - 1)
RANKS = range(1, 8)


def dealt(order: Order, groups: int, ranks: int, steps: int) -> list[list[tuple[int, int]]]:
    """The (example, epoch) pairs of each step, those of rank 0 first; made rank by rank, as the ranks do."""
    joined: list[list[tuple[int, int]]] = [[] for _ in range(steps)]
    for rank in range(ranks):
        requests = list(Portion(order, groups, ranks, rank).requests(0, steps))
        assert len(requests) == steps
        for step, (indices, epochs) in enumerate(requests):
            joined[step] += zip(indices.tolist(), epochs.tolist(), strict=True)
    return joined


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("remainder", ["continuous", "weighted"])
@settings(max_examples=30)
@given(sizes, batches, groups_each, seeds)
def test_each_example_once_in_each_epoch(remainder, ranks, n, batch_size, each, seed) -> None:
    order = Order(n, batch_size, remainder, seed)
    epochs = 3
    steps = epochs * -(-n // batch_size) if remainder == "weighted" else math.ceil(epochs * n / batch_size)
    pairs = [pair for step in dealt(order, ranks * each, ranks, steps) for pair in step]
    whole = [pair for pair in pairs if pair[1] < epochs]
    assert Counter(whole) == Counter((i, e) for e in range(epochs) for i in range(n))
    # The last batch may go on into the next epochs, whose examples it takes once each too.
    assert len(set(pairs)) == len(pairs)
    # Epochs come one after the other.
    assert [epoch for _, epoch in pairs] == sorted(epoch for _, epoch in pairs)


@pytest.mark.parametrize("ranks", RANKS)
@settings(max_examples=30)
@given(sizes, batches, groups_each, seeds)
def test_drop_leaves_out_fewer_than_a_batch_of_each_epoch(ranks, n, batch_size, each, seed) -> None:
    assume(batch_size <= n)
    order, epochs, a_epoch = Order(n, batch_size, "drop", seed), 3, n // batch_size
    pairs = [pair for step in dealt(order, ranks * each, ranks, epochs * a_epoch) for pair in step]
    assert len(set(pairs)) == len(pairs)
    assert Counter(epoch for _, epoch in pairs) == dict.fromkeys(range(epochs), a_epoch * batch_size)
    assert n - a_epoch * batch_size < batch_size


@pytest.mark.parametrize("ranks", RANKS)
@settings(max_examples=30)
@given(sizes, batches, groups_each, seeds)
def test_wrap_takes_no_example_once_more_than_another_but_to_fill(ranks, n, batch_size, each, seed) -> None:
    order, epochs, a_epoch = Order(n, batch_size, "wrap", seed), 3, -(-n // batch_size)
    steps = dealt(order, ranks * each, ranks, epochs * a_epoch)
    assert all(len(step) == batch_size for step in steps)
    for epoch in range(epochs):
        part = [pair for step in steps[epoch * a_epoch : (epoch + 1) * a_epoch] for pair in step]
        assert {found for _, found in part} == {epoch}
        counts = Counter(i for i, _ in part)
        extra = a_epoch * batch_size - n
        assert set(counts) == set(range(n)) and sum(counts.values()) == n + extra
        assert max(counts.values()) - min(counts.values()) <= 1
        # Filled from the start of the same permutation.
        stream = [i for i, _ in part]
        assert stream[n:] == [stream[j % n] for j in range(extra)]


@pytest.mark.parametrize("remainder", REMAINDERS)
@pytest.mark.parametrize("ranks", RANKS)
@settings(max_examples=20)
@given(sizes, batches, groups_each, seeds)
def test_the_order_does_not_depend_on_the_number_of_ranks(
    remainder, ranks, n, batch_size, each, seed
) -> None:
    """k ranks, each with its own portion, see step by step what one rank sees: same examples, same epochs."""
    assume(remainder != "drop" or batch_size <= n)
    order, groups = Order(n, batch_size, remainder, seed), ranks * each
    assert dealt(order, groups, ranks, 6) == dealt(order, groups, 1, 6)


@pytest.mark.parametrize("ranks", RANKS)
@settings(max_examples=30)
@given(sizes, batches, groups_each, seeds, st.integers(0, 50))
def test_groups_are_the_same_on_any_rank(ranks, n, batch_size, each, seed, step) -> None:
    """The unit of batch norm and random streams: group g holds the same examples wherever it is computed."""
    order, groups = Order(n, batch_size, "weighted", seed), ranks * each

    def of(count: int) -> list[list[int]]:
        found = []
        for rank in range(count):
            portion = Portion(order, groups, count, rank)
            ((indices, _),) = portion.requests(step, step + 1)
            cut = portion.cut(step, indices, indices)
            assert len(cut) == len(portion.numbers) == groups // count
            found += [y.tolist() for _, y in cut]
        return found

    assert of(ranks) == of(1)
    assert [i for group in of(ranks) for i in group] == order.step_indices(step).tolist()
    lengths = {len(group) for group in of(1)}
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("remainder", REMAINDERS)
@settings(max_examples=40)
@given(sizes, batches, seeds, st.integers(0, 300))
def test_epochs_go_with_the_indices(remainder, n, batch_size, seed, step) -> None:
    """The epoch of an example is that whose permutation it is from; sizes agree with the time line."""
    assume(remainder != "drop" or batch_size <= n)
    order = Order(n, batch_size, remainder, seed)
    indices, epochs = order.step_indices(step), order.step_epochs(step)
    assert indices.shape == epochs.shape and epochs.dtype == np.int64 and order.step_size(step) == len(epochs)
    recipe = {"batch_size": batch_size, "remainder": remainder, "epochs": None, "budget": {"steps": 400}}
    assert lay_out(recipe, n).step_size(step) == len(indices)
    if remainder == "continuous":
        assert epochs.tolist() == [(step * batch_size + j) // n for j in range(batch_size)]
    else:
        a_epoch = n // batch_size if remainder == "drop" else -(-n // batch_size)
        assert set(epochs.tolist()) == {step // a_epoch}


@pytest.mark.parametrize("ranks", RANKS)
@given(st.integers(0, 100))
def test_evaluation_deals_each_example_once(ranks, n) -> None:
    seen = [i for rank in range(ranks) for i in range(n)[shard(n, rank, ranks)]]
    assert seen == list(range(n))
