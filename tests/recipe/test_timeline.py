"""Steps and epochs against counting examples one batch after the other, in whole numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horovod_lb.data.order import Order
from horovod_lb.errors import RecipeError

sizes = st.integers(1, 400)
NO_WARMUP = {"warmup": {"epochs": 0}}


def test_seed_3_counts(resolved):
    """141 = ceil(90 * 1281167 / 819200), and 90 epochs of full batch are 90 steps."""
    huge = resolved(examples=1_281_167, batch_size=819_200, epochs=90)
    assert huge.timeline.total_steps == 141
    full = resolved(examples=1_281_167, batch_size=1_281_167, epochs=90)
    assert full.timeline.total_steps == 90
    assert full.timeline.epoch_ends == tuple((epoch, epoch) for epoch in range(1, 91))


def test_worked_example(resolved):
    line = resolved().timeline
    assert line.steps_per_epoch == 7.32421875
    assert line.total_steps == 220
    assert line.epoch_ends[:3] == ((1, 8), (2, 15), (3, 22))
    assert line.epoch_ends[-1] == (30, 220)


@given(examples=sizes, batch_size=sizes, epochs=st.integers(1, 12))
def test_continuous_epochs_end_where_counting_says(resolved, examples, batch_size, epochs):
    line = resolved(examples=examples, batch_size=batch_size, epochs=epochs, **NO_WARMUP).timeline
    seen, step, ends = 0, 0, {}
    while seen < epochs * examples:
        seen, step = seen + batch_size, step + 1
        finished = min(seen // examples, epochs)
        if finished > max(ends.values(), default=0):
            ends[step] = finished
    assert line.total_steps == step
    assert line.epoch_ends == tuple((epoch, end) for end, epoch in ends.items())


@given(
    examples=sizes, batch_size=sizes, epochs=st.integers(1, 5), policy=st.sampled_from(["weighted", "wrap"])
)
def test_epochs_of_their_own(resolved, examples, batch_size, epochs, policy):
    line = resolved(
        examples=examples, batch_size=batch_size, epochs=epochs, remainder=policy, **NO_WARMUP
    ).timeline
    steps = len(range(0, examples, batch_size))
    assert line.steps_per_epoch == steps
    assert line.epoch_ends == tuple((epoch, epoch * steps) for epoch in range(1, epochs + 1))
    assert line.total_steps == epochs * steps


def test_drop_counts_whole_batches(resolved):
    line = resolved(examples=1000, batch_size=300, epochs=4, remainder="drop", **NO_WARMUP).timeline
    assert (line.steps_per_epoch, line.total_steps, line.epoch_ends[0]) == (3, 12, (1, 3))


def test_drop_without_a_whole_batch(resolved):
    with pytest.raises(
        RecipeError, match=r"recipe.remainder: drop leaves no step, the batch of 300 is larger"
    ):
        resolved(examples=299, batch_size=300, remainder="drop")


@given(
    examples=st.integers(1, 60),
    batch_size=st.integers(1, 90),
    policy=st.sampled_from(["continuous", "drop", "weighted", "wrap"]),
)
def test_step_sizes_are_those_of_the_data(resolved, examples, batch_size, policy):
    if policy == "drop" and batch_size > examples:
        return
    line = resolved(
        examples=examples, batch_size=batch_size, epochs=3, remainder=policy, **NO_WARMUP
    ).timeline
    order = Order(examples, batch_size, policy)
    assert [line.step_size(t) for t in range(line.total_steps)] == [
        len(order.step_indices(t)) for t in range(line.total_steps)
    ]


@given(epochs=st.integers(1, 999), batches=st.integers(1, 50))
def test_decimal_epochs_do_not_gain_a_step(resolved, epochs, batches):
    """0.7 epochs of 10 steps are 7 steps, although 0.7 * 10 > 7 in binary."""
    line = resolved(examples=batches * 64, batch_size=64, epochs=epochs / 100, **NO_WARMUP).timeline
    assert line.total_steps == -(-epochs * batches // 100)


def test_part_of_an_epoch_at_the_end(resolved):
    line = resolved(examples=100, batch_size=10, epochs=2.5, **NO_WARMUP).timeline
    assert line.epoch_ends == ((1, 10), (2, 20), (3, 25))
    assert line.epochs == 2.5


def test_budget_of_steps(resolved):
    line = resolved(examples=100, batch_size=10, epochs=None, budget={"steps": 25}, **NO_WARMUP).timeline
    assert (line.total_steps, line.epochs) == (25, 2.5)


def test_budget_like_a_small_batch(resolved):
    """Regime adaptation: as many steps as batch 256 takes for 90 epochs, whatever the batch is."""
    budget = {"steps": None, "like_batch": 256, "epochs": 90}
    line = resolved(examples=1_281_167, batch_size=8192, epochs=None, budget=budget).timeline
    assert line.total_steps == -(-90 * 1_281_167 // 256)
    assert line.epochs == pytest.approx(90 * 32, rel=1e-5)


def test_epochs_and_budget_exclude_each_other(resolved):
    for epochs, budget in ((None, None), (3, {"steps": 4})):
        with pytest.raises(RecipeError, match="give either epochs or budget"):
            resolved(epochs=epochs, budget=budget)
