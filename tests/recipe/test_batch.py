"""The division of the batch, and what an indivisible one is told."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horovod_lb.errors import RecipeError
from horovod_lb.recipe import Batch
from horovod_lb.recipe.batch import dealt

small = st.integers(1, 60)


@given(n=small, a=small, k=small)
def test_algebra(n, a, k):
    batch = Batch(batch_size=n * a * k, groups=a * k, workers=k)
    assert (batch.group_size, batch.groups_per_worker, batch.worker_size) == (n, a, n * a)


@given(batch_size=st.integers(1, 5000), groups=st.integers(1, 300))
def test_every_value_that_is_offered_would_do(batch_size, groups):
    if batch_size % groups == 0:
        return
    with pytest.raises(RecipeError) as error:
        Batch(batch_size, groups, 1)
    assert error.value.key == "recipe.batch_size"
    sizes, divisors = (
        [int(number) for number in re.findall(r"\d+", part)]
        for part in re.search(
            r"batch_size ([\d or]+) would, or groups ([\d or]+)$", str(error.value)
        ).groups()
    )
    assert sizes and all(size % groups == 0 and abs(size - batch_size) < groups for size in sizes)
    assert divisors and all(batch_size % divisor == 0 for divisor in divisors)


def test_message_of_an_indivisible_batch():
    with pytest.raises(RecipeError) as error:
        Batch(1000, 48, 1)
    assert str(error.value) == (
        "recipe.batch_size: 1000 does not divide into 48 groups; batch_size 960 or 1008 would, "
        "or groups 40 or 50"
    )


def test_message_of_groups_that_cannot_be_dealt():
    with pytest.raises(RecipeError) as error:
        Batch(960, 48, 5)
    assert error.value.key == "recipe.groups"
    assert str(error.value) == (
        "recipe.groups: 48 groups cannot be dealt evenly to 5 workers; workers 4 or 6 would do, "
        "or groups 45 or 50"
    )


def test_ranks_that_have_several_groups_are_told_so():
    one, two = Batch(7680, 240, 2), Batch(30720, 240, 2)
    assert dealt([(one, 1), (two, 1), (one, 1)]) == [
        "240 groups of 32 to 128 on 2 ranks: 120 groups a rank one after the other, then one all-reduce a "
        "step; the weights are those of 240 ranks, up to round-off"
    ]
    assert dealt([(Batch(64, 4, 1), 1)]) == [
        "4 groups of 16 on 1 rank: 4 groups a rank one after the other, then one update a step; the weights "
        "are those of 4 ranks, up to round-off"
    ]
    assert dealt([(Batch(64, 4, 4), 1)]) == []


@pytest.mark.parametrize(
    ("together", "passes"), [(2, ", 2 in each pass"), (4, " in one pass, with the memory of all of them")]
)
def test_groups_that_share_their_batch_norm_pass_together(together, passes):
    (sentence,) = dealt([(Batch(64, 8, 2), together)])
    assert sentence.startswith(f"8 groups of 8 on 2 ranks: 4 groups a rank{passes}, then one all-reduce")
