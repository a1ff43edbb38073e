"""The order of the training examples, against set algebra, a plain Philox and chi-square tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from horovod_lb.data.order import Order, permutation
from horovod_lb.data.partition import group_bounds, worker_groups
from horovod_lb.errors import RecipeError

examples = st.integers(1, 60)
batch_sizes = st.integers(1, 150)
seeds = st.integers(0, 2**64 - 1)


def philox_4x64(seed: int, epoch: int, count: int) -> list[int]:
    """Philox4x64-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011; counts from 1."""
    mask = 2**64 - 1
    numbers: list[int] = []
    counter = 0
    while len(numbers) < count:
        counter += 1
        words, keys = [counter, 0, 0, 0], [seed, epoch]
        for _ in range(10):
            left, right = words[0] * 0xD2E7470EE14C6C93, words[2] * 0xCA5A826395121157
            words = [
                (right >> 64) ^ words[1] ^ keys[0],
                right & mask,
                (left >> 64) ^ words[3] ^ keys[1],
                left & mask,
            ]
            keys = [(keys[0] + 0x9E3779B97F4A7C15) & mask, (keys[1] + 0xBB67AE8584CAA73B) & mask]
        numbers += words
    return numbers[:count]


def joined(order: Order, steps: int) -> list[int]:
    return [int(i) for t in range(steps) for i in order.step_indices(t)]


@given(st.integers(1, 50), seeds, st.integers(0, 1000))
def test_the_permutation_is_the_sorting_order_of_the_philox_stream(n: int, seed: int, epoch: int) -> None:
    numbers = philox_4x64(seed, epoch, n)
    assert permutation(n, seed, epoch).tolist() == sorted(range(n), key=numbers.__getitem__)


@given(examples, batch_sizes, seeds)
def test_continuous_is_the_epochs_joined_end_to_end(n: int, batch_size: int, seed: int) -> None:
    order = Order(n, batch_size, "continuous", seed)
    steps = math.ceil(3 * n / batch_size)
    assert all(len(order.step_indices(t)) == batch_size for t in range(steps))
    stream = joined(order, steps)
    for epoch in range(3):
        assert sorted(stream[epoch * n : (epoch + 1) * n]) == list(range(n))
        assert stream[epoch * n : (epoch + 1) * n] == permutation(n, seed, epoch).tolist()


@given(examples, batch_sizes, seeds)
def test_drop_leaves_out_the_rest_of_each_epoch(n: int, batch_size: int, seed: int) -> None:
    assume(batch_size <= n)
    order = Order(n, batch_size, "drop", seed)
    steps = n // batch_size
    for epoch in range(3):
        seen = [int(i) for s in range(steps) for i in order.step_indices(epoch * steps + s)]
        assert len(seen) == steps * batch_size == len(set(seen))
        assert seen == permutation(n, seed, epoch)[: len(seen)].tolist()


@given(examples, batch_sizes, seeds)
def test_weighted_ends_each_epoch_with_a_smaller_part(n: int, batch_size: int, seed: int) -> None:
    order = Order(n, batch_size, "weighted", seed)
    steps = math.ceil(n / batch_size)
    for epoch in range(3):
        parts = [order.step_indices(epoch * steps + s) for s in range(steps)]
        assert [len(part) for part in parts[:-1]] == [batch_size] * (steps - 1)
        assert 0 < len(parts[-1]) <= batch_size
        assert np.concatenate(parts).tolist() == permutation(n, seed, epoch).tolist()


@given(examples, batch_sizes, seeds)
def test_wrap_fills_the_last_part_from_the_start_of_its_epoch(n: int, batch_size: int, seed: int) -> None:
    order = Order(n, batch_size, "wrap", seed)
    steps = math.ceil(n / batch_size)
    for epoch in range(3):
        parts = [order.step_indices(epoch * steps + s) for s in range(steps)]
        assert [len(part) for part in parts] == [batch_size] * steps
        stream = np.concatenate(parts)
        assert sorted(stream[:n]) == list(range(n))
        assert stream[n:].tolist() == np.resize(stream[:n], steps * batch_size - n).tolist()


@pytest.mark.parametrize("remainder", ["continuous", "drop", "weighted", "wrap"])
@pytest.mark.parametrize("workers", range(1, 8))
@settings(max_examples=25)
@given(st.integers(7, 60), st.integers(7, 30), seeds, st.integers(1, 3))
def test_any_number_of_workers_sees_the_same_global_batches(
    remainder: str, workers: int, n: int, batch_size: int, seed: int, groups_per_worker: int
) -> None:
    """Each rank works out its own part; together they are the global batch, for any k and uneven groups."""
    assume(batch_size <= n)
    groups = workers * groups_per_worker
    for t in range(2 * n // batch_size):
        whole = Order(n, batch_size, remainder, seed).step_indices(t)
        dealt: list[int] = []
        for rank in range(workers):
            indices = Order(n, batch_size, remainder, seed).step_indices(t)
            bounds = group_bounds(len(indices), groups)
            for group in worker_groups(groups, workers, rank):
                dealt += indices[bounds[group] : bounds[group + 1]].tolist()
        assert dealt == whole.tolist()


@pytest.mark.parametrize("workers", range(1, 8))
@given(examples, batch_sizes, seeds, st.integers(0, 5))
def test_an_epoch_over_k_ranks_is_every_example_once(
    workers: int, n: int, batch_size: int, seed: int, epoch: int
) -> None:
    steps = math.ceil(n / batch_size)
    seen = np.zeros(n, dtype=int)
    for rank in range(workers):
        order = Order(n, batch_size, "weighted", seed)
        for t in range(epoch * steps, (epoch + 1) * steps):
            indices = order.step_indices(t)
            bounds = group_bounds(len(indices), workers)
            np.add.at(seen, indices[bounds[rank] : bounds[rank + 1]], 1)
    assert seen.tolist() == [1] * n


@pytest.mark.parametrize("remainder", ["continuous", "drop", "weighted", "wrap"])
@settings(max_examples=25)
@given(st.integers(5, 40), st.integers(1, 80), st.lists(st.integers(0, 200), min_size=1, max_size=20))
def test_a_step_is_the_same_whatever_was_asked_before(
    remainder: str, n: int, batch_size: int, asked: list[int]
) -> None:
    assume(remainder != "drop" or batch_size <= n)
    used = Order(n, batch_size, remainder, seed=3)
    for t in asked:
        fresh = Order(n, batch_size, remainder, seed=3)
        assert used.step_indices(t).tolist() == fresh.step_indices(t).tolist()


def test_a_caller_may_change_what_it_got() -> None:
    for remainder in ("continuous", "drop", "weighted", "wrap"):
        order = Order(10, 4, remainder)
        before = order.step_indices(0).tolist()
        order.step_indices(0)[:] = -1
        assert order.step_indices(0).tolist() == before


def test_epochs_and_seeds_differ() -> None:
    orders = {
        tuple(permutation(100, seed, epoch).tolist()) for seed in (0, 1, 2, 2**63) for epoch in range(25)
    }
    assert len(orders) == 100


@pytest.mark.parametrize("position", [0, 1, 9])
def test_every_example_is_as_likely_at_a_position(position: int) -> None:
    """Chi-square with 9 degrees of freedom over 5,000 epochs and over 5,000 seeds: below the 99.9 % point."""
    by_epoch = np.bincount([permutation(10, 0, epoch)[position] for epoch in range(5000)], minlength=10)
    by_seed = np.bincount([permutation(10, seed, 0)[position] for seed in range(5000)], minlength=10)
    for counts in (by_epoch, by_seed):
        assert ((counts - 500) ** 2 / 500).sum() < 27.88


def test_every_permutation_is_as_likely() -> None:
    """Chi-square with 23 degrees of freedom over the 24 permutations of four: below the 99.9 % point."""
    found = [tuple(permutation(4, 7, epoch).tolist()) for epoch in range(24 * 200)]
    counts = np.array([found.count(kind) for kind in set(found)])
    assert len(counts) == 24
    assert ((counts - 200) ** 2 / 200).sum() < 49.73


def test_a_batch_may_span_many_epochs() -> None:
    """90 epochs of 128 examples in batches of 82: 141 steps, as 90 of ImageNet in batches of 819,200."""
    order = Order(128, 82)
    steps = math.ceil(90 * 128 / 82)
    assert steps == 141
    assert np.bincount(joined(order, steps)[: 90 * 128]).tolist() == [90] * 128
    assert np.bincount(Order(10, 35).step_indices(2), minlength=10).sum() == 35


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 4), "0 examples"),
        ((10, 0), "batches of 0"),
        ((10, 4, "keep"), "continuous, drop, weighted, wrap"),
        ((10, 11, "drop"), "11 exceeds the 10 examples"),
        ((10, 4, "wrap", -1), "seed: -1"),
        ((10, 4, "wrap", 2**64), "2\\*\\*64 - 1"),
    ],
)
def test_an_order_without_meaning_is_refused(arguments: tuple[int, int], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Order(*arguments)


def test_there_is_no_step_before_the_first() -> None:
    with pytest.raises(IndexError):
        Order(10, 4).step_indices(-1)
