"""The learning rate against closed forms in exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horovod_lb.errors import RecipeError

batches = st.integers(100, 4000)
rates = st.floats(1e-4, 10, allow_nan=False)
warmup_epochs = st.integers(0, 2000).map(lambda hundredths: hundredths / 100)


def step(epochs, factor=0.1, anchor=None):
    return {"kind": "step", "epochs": epochs, "factor": factor, "anchor": anchor}


def test_worked_example(resolved):
    rate = resolved().rate
    assert rate.warmup_steps == 36.62109375
    assert rate.peak == 3.2
    assert rate(0) == rate.start == 0.1
    assert rate(10) == pytest.approx(0.94650667, abs=5e-9)
    assert rate(36) == pytest.approx(3.14742400, abs=5e-9)
    assert rate(37) == 3.2


def test_goyal_rates(resolved):
    """The published settings: 0.1 at 256, 3.2 at 8192, down tenfold at 30, 60 and 80 of 90 epochs."""
    rate = resolved(examples=1_281_167, epochs=90, schedule=step([30, 60, 80])).rate
    pace = Fraction(1_281_167, 8192)
    for epoch, value in ((29.99, 3.2), (30.01, 0.32), (59.99, 0.32), (60.01, 0.032), (80.01, 0.0032)):
        assert rate(math.ceil(epoch * pace)) == pytest.approx(value, rel=1e-12)
    decay = math.ceil(30 * pace)
    assert (rate(decay - 1), rate(decay)) == (3.2, pytest.approx(0.32))


@given(
    batch_size=batches, epochs=warmup_epochs, reference=rates, kind=st.sampled_from(["gradual", "constant"])
)
def test_warmup_is_the_closed_form_at_every_step(resolved, batch_size, epochs, reference, kind):
    run = resolved(
        examples=5000,
        batch_size=batch_size,
        reference={"learning_rate": reference},
        warmup={"kind": kind, "epochs": epochs},
    )
    peak = Fraction(reference) * batch_size / 256
    length = Fraction(str(epochs)) * Fraction(5000, batch_size)
    for t in range(run.timeline.total_steps):
        if t >= length:
            expected = peak
        elif kind == "constant":
            expected = Fraction(reference)
        else:
            expected = Fraction(reference) + (peak - Fraction(reference)) * t / length
        assert run.rate(t) == pytest.approx(float(expected), rel=1e-12)


@given(batch_size=st.integers(257, 4000), epochs=warmup_epochs)
def test_no_jump_and_no_overshoot_at_the_hand_over(resolved, batch_size, epochs):
    run = resolved(examples=5000, batch_size=batch_size, warmup={"epochs": epochs, "start": "zero"})
    table = run.rate.table()
    assert table.max() <= run.rate.peak
    if run.rate.warmup_steps:
        increase = run.rate.peak / run.rate.warmup_steps
        assert max(table[1:] - table[:-1], default=0) <= increase * (1 + 1e-9)


@given(
    batch_size=batches,
    epochs=warmup_epochs,
    kind=st.sampled_from(["none", "gradual", "constant"]),
    decays=st.lists(st.floats(0, 40), min_size=1, max_size=4),
    factor=st.floats(0.01, 1.5),
    anchor=st.sampled_from([None, "zero", "after_warmup"]),
)
def test_table_is_the_scalar_path_exactly(resolved, batch_size, epochs, kind, decays, factor, anchor):
    run = resolved(
        examples=3000,
        batch_size=batch_size,
        warmup={"epochs": epochs, "kind": kind},
        schedule=step(decays, factor, anchor),
    )
    table = run.rate.table()
    assert table.dtype == "float64"
    assert table.tolist() == [run.rate(t) for t in range(run.timeline.total_steps)]


@given(
    examples=st.integers(100, 5000),
    batch_size=batches,
    decays=st.lists(st.integers(0, 300).map(lambda tenths: tenths / 10), min_size=1, max_size=4),
    factor=st.floats(0.05, 2),
    warmup=st.integers(0, 5),
)
def test_step_decay_counts_the_epochs_behind(resolved, examples, batch_size, decays, factor, warmup):
    """factor to the number of e with t >= e * S (anchor zero), or t - T_w >= e * S (after_warmup)."""
    pace = Fraction(examples, batch_size)
    for anchor, offset in (("zero", 0), ("after_warmup", warmup * pace)):
        run = resolved(
            examples=examples,
            batch_size=batch_size,
            warmup={"epochs": warmup},
            schedule=step(decays, factor, anchor),
        )
        for t in range(math.ceil(warmup * pace), run.timeline.total_steps):
            passed = sum(t - offset >= Fraction(str(epoch)) * pace for epoch in decays)
            assert run.rate(t) == pytest.approx(run.rate.peak * factor**passed, rel=1e-12)


def test_starts(resolved):
    for start, value in (("reference", 0.1), ("zero", 0.0), ("per_worker", 3.2 / 16), (0.5, 0.5)):
        run = resolved(groups=16, warmup={"start": start})
        assert run.rate.start == pytest.approx(value)
        assert not run.warnings


def test_warmup_in_steps(resolved):
    rate = resolved(warmup={"epochs": 0, "steps": 10}).rate
    assert rate.warmup_steps == 10
    assert rate(5) == pytest.approx((0.1 + 3.2) / 2)
    assert rate(10) == 3.2


def test_the_rate_goes_on_after_the_last_step(resolved):
    run = resolved(schedule=step([20]))
    assert run.rate(run.timeline.total_steps) == run.rate(run.timeline.total_steps - 1) == pytest.approx(0.32)
    with pytest.raises(ValueError, match="no step -1"):
        run.rate(-1)


def test_a_warmup_that_does_not_rise_is_flagged(resolved):
    for changes in ({"scaling": "none"}, {"batch_size": 256}, {"batch_size": 128}, {"warmup": {"start": 4}}):
        assert any("does not rise" in text for text in resolved(**changes).warnings)
    assert not resolved(batch_size=256, warmup={"epochs": 0}).warnings


def test_a_decay_at_the_end_is_flagged(resolved):
    warnings = resolved(epochs=90, schedule=step([30, 60, 90])).warnings
    assert warnings == (
        "recipe.schedule.epochs: the decay at epoch 90 never acts, the run ends after 90 epochs",
    )


def test_a_decay_within_the_warmup_is_flagged(resolved):
    warnings = resolved(schedule=step([4, 20])).warnings
    assert warnings == (
        "recipe.schedule.epochs: the decay at epoch 4 falls into the warmup, which ends at epoch 5: "
        "the peak is never reached",
    )


def test_warmup_longer_than_training(resolved):
    assert resolved(epochs=5).rate.warmup_epochs == 5
    for scaling in ("none", "linear", "sqrt", "per_worker"):
        with pytest.raises(RecipeError) as error:
            resolved(epochs=4, scaling=scaling)
        assert error.value.key == "recipe.warmup.epochs"
        assert str(error.value) == (
            "recipe.warmup.epochs: 5 epochs of warmup are longer than the training of 4 epochs; "
            "give at most 4"
        )
    with pytest.raises(RecipeError, match=r"recipe.warmup.steps: 31 steps .* training of 30 steps"):
        resolved(epochs=None, budget={"steps": 30}, warmup={"epochs": 0, "steps": 31})
