"""Smooth schedules against closed forms, Keras' own schedules, and what must hold for all of them."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

SMOOTH = {
    "polynomial": {"power": 2, "end": 0.0},
    "cosine": {"end": 0.0},
    "cosine_restarts": {"cycles": 4, "mult": 1, "end": 0.0},
    "cyclical": {"low": 0.01, "high": None, "cycle_epochs": 3},
    "exponential": {"factor": 0.5, "every_epochs": 4, "staircase": False},
}
ANCHORS = st.sampled_from([None, "zero", "after_warmup"])


def schedule(kind, anchor=None, **options):
    return {"kind": kind, "anchor": anchor, **SMOOTH[kind], **options}


@pytest.fixture
def run(resolved):
    """A run of 1000 examples in batches of 100 for 30 epochs: S = 10, T = 300, peak 0.4, warmup as given."""

    def make(schedule, warmup=0, **changes):
        return resolved(
            examples=1000,
            batch_size=100,
            scaling="none",
            reference={"learning_rate": 0.4},
            warmup={"epochs": warmup, "start": "zero"},
            schedule=schedule,
            **changes,
        )

    return make


@given(
    kind=st.sampled_from(list(SMOOTH)),
    anchor=ANCHORS,
    warmup=st.integers(0, 3000).map(lambda hundredths: hundredths / 100),
    batch_size=st.integers(3, 900),
    warmup_kind=st.sampled_from(["gradual", "constant", "cosine"]),
)
def test_the_table_has_the_very_floats_of_asking_for_each_step(
    resolved, kind, anchor, warmup, batch_size, warmup_kind
):
    rate = resolved(
        examples=1000,
        batch_size=batch_size,
        warmup={"epochs": warmup, "kind": warmup_kind},
        schedule=schedule(kind, anchor),
    ).rate
    table = rate.table()
    assert np.isfinite(table).all()
    assert table.min() >= 0
    steps = range(0, rate.total_steps, max(1, rate.total_steps // 97))
    assert [rate(t) for t in steps] == [table[t] for t in steps]


@pytest.mark.parametrize(("anchor", "warmup"), [(None, 0), (None, 4.5), ("zero", 4.5), ("after_warmup", 0)])
@pytest.mark.parametrize("power", [1, 2, 0.5])
def test_polynomial(run, anchor, warmup, power):
    rate = run(schedule("polynomial", anchor, power=power, end=0.004), warmup).rate
    begin = 0 if anchor == "zero" else 10 * warmup
    for t in range(math.ceil(10 * warmup), 300):
        left = 1 - (t - begin) / (300 - begin)
        assert rate(t) == pytest.approx(0.004 + 0.396 * left**power, rel=1e-12)
    assert rate(300) == rate(1000) == pytest.approx(0.004)


@pytest.mark.parametrize(("anchor", "warmup"), [(None, 0), (None, 4.5), ("zero", 4.5)])
def test_cosine(run, anchor, warmup):
    rate = run(schedule("cosine", anchor, end=0.1), warmup).rate
    begin = 0 if anchor == "zero" else 10 * warmup
    for t in range(math.ceil(10 * warmup), 300):
        x = (t - begin) / (300 - begin)
        assert rate(t) == pytest.approx(0.1 + 0.3 * math.cos(math.pi * x / 2) ** 2, rel=1e-12)
    assert rate(300) == rate(301) == pytest.approx(0.1)


@pytest.mark.parametrize("cycles", [1, 3, 7])
@pytest.mark.parametrize("mult", [1, 2, 1.5])
def test_restarts_begin_at_the_peak_and_fill_the_run(run, cycles, mult):
    rate = run(schedule("cosine_restarts", cycles=cycles, mult=mult), warmup=2.5).rate
    weights = [Fraction(str(mult)) ** i for i in range(cycles)]
    length = (300 - Fraction(25)) / sum(weights)
    first = Fraction(25)
    for weight in weights:
        end = first + weight * length
        for t in range(math.ceil(first), math.ceil(end)):
            y = float((t - first) / (end - first))
            assert rate(t) == pytest.approx(0.4 * math.cos(math.pi * y / 2) ** 2, rel=1e-9, abs=1e-15)
        first = end
    assert first == 300
    assert rate(300) == 0


def test_one_cycle_is_a_cosine_and_many_restart_at_whole_steps(run):
    one, plain = run(schedule("cosine_restarts", cycles=1), 3), run(schedule("cosine"), 3)
    np.testing.assert_array_equal(one.rate.table(), plain.rate.table())
    fine = run(schedule("cosine_restarts", cycles=30)).rate.table()
    assert (fine[::10] == 0.4).all()
    assert np.count_nonzero(fine == 0.4) == 30


def test_cyclical_is_a_triangle_wave(run):
    rate = run(schedule("cyclical", low=0.1, high=0.7, cycle_epochs=4)).rate
    assert [rate(t) for t in (0, 10, 20, 30, 40, 60)] == pytest.approx([0.1, 0.4, 0.7, 0.4, 0.1, 0.7])
    slopes = np.diff(rate.table())
    assert np.abs(slopes) == pytest.approx(0.6 / 20)
    assert run(schedule("cyclical", cycle_epochs=4)).rate.table().max() == pytest.approx(0.4)


def test_exponential_is_smooth_or_a_staircase(run, resolved):
    smooth = run(schedule("exponential")).rate
    stairs = run(schedule("exponential", staircase=True)).rate
    for t in range(300):
        assert smooth(t) == pytest.approx(0.4 * 0.5 ** (t / 40), rel=1e-12)
        assert stairs(t) == pytest.approx(0.4 * 0.5 ** (t // 40), rel=1e-12)
    periodic = {"kind": "step", "epochs": [10, 20], "factor": 0.1, "anchor": None}
    every = schedule("exponential", factor=0.1, every_epochs=10, staircase=True, anchor="zero")
    np.testing.assert_array_equal(run(every, 2.5).rate.table(), run(periodic, 2.5).rate.table())


def test_against_the_schedules_of_keras(run):
    keras = pytest.importorskip("keras").optimizers.schedules
    pairs = [
        (schedule("polynomial", power=2, end=0.004), keras.PolynomialDecay(0.4, 300, 0.004, power=2)),
        (schedule("cosine", end=0.1), keras.CosineDecay(0.4, 300, alpha=0.25)),
        (schedule("cosine_restarts", cycles=2, mult=2), keras.CosineDecayRestarts(0.4, 100, t_mul=2.0)),
        (schedule("cosine_restarts", cycles=3), keras.CosineDecayRestarts(0.4, 100, t_mul=1.0)),
        (schedule("exponential"), keras.ExponentialDecay(0.4, 40, 0.5)),
        (schedule("exponential", staircase=True), keras.ExponentialDecay(0.4, 40, 0.5, staircase=True)),
    ]
    for options, theirs in pairs:
        expected = [float(theirs(t)) for t in range(300)]
        np.testing.assert_allclose(
            run(options).rate.table(), expected, rtol=2e-5, atol=2e-6, err_msg=options["kind"]
        )


def test_cosine_warmup(run, resolved):
    rate = run(schedule("cosine"), 0).rate
    warm = resolved(
        examples=1000,
        batch_size=100,
        scaling="none",
        reference={"learning_rate": 0.4},
        warmup={"kind": "cosine", "epochs": 4.5, "start": 0.1},
        schedule=schedule("cosine"),
    ).rate
    for t in range(45):
        assert warm(t) == pytest.approx(0.1 + 0.3 * math.sin(math.pi * t / 90) ** 2, rel=1e-12)
    assert warm(45) == rate(0) == 0.4


@given(
    kind=st.sampled_from(["polynomial", "cosine", "exponential"]), warmup=st.integers(0, 29), anchor=ANCHORS
)
def test_a_decay_never_rises_after_warmup(resolved, kind, warmup, anchor):
    run = resolved(examples=1000, batch_size=100, warmup={"epochs": warmup}, schedule=schedule(kind, anchor))
    table = run.rate.table()[math.ceil(run.rate.warmup_steps) :]
    assert (np.diff(table) <= 0).all()


def test_a_jump_at_the_hand_over_is_told(run):
    for kind in ("polynomial", "cosine"):
        assert "jumps from 0.4 to" in run(schedule(kind, "zero"), 5).warnings[0]
        assert not run(schedule(kind, "after_warmup"), 5).warnings
        assert not run(schedule(kind, "zero"), 0).warnings
    assert "jumps from 0.4 to 0.01" in run(schedule("cyclical", "after_warmup"), 5).warnings[0]
    assert not run(schedule("exponential", None), 5).warnings


def test_a_warmup_as_long_as_the_run_leaves_nothing_to_decay(run):
    for kind in SMOOTH:
        table = run(schedule(kind, "after_warmup"), 30).rate.table()
        assert table == pytest.approx(0.4 * np.arange(300) / 300)


def test_rates_scale_with_the_batch_whatever_the_schedule(resolved):
    """The same part of the run has the same part of the peak: B and 2B, linear scaling, every other step."""
    for kind in ("polynomial", "cosine", "exponential"):
        options = schedule(kind, **({"end": 0.0} if kind != "exponential" else {}))
        small = resolved(examples=1000, batch_size=50, schedule=options, warmup={"epochs": 0})
        large = resolved(examples=1000, batch_size=100, schedule=options, warmup={"epochs": 0})
        np.testing.assert_allclose(2 * small.rate.table()[::2], large.rate.table(), rtol=1e-12)
