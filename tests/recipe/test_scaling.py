"""Scaling rules: identities and published settings."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horovod_lb.errors import RecipeError
from horovod_lb.recipe import schedules
from horovod_lb.recipe.scaling import SCALINGS

LEGW = {"scaling": "legw", "warmup": {"epochs": 0}}


@pytest.mark.parametrize(
    ("scaling", "peak"),
    [
        ("none", 0.1),
        ("linear", 3.2),
        ("sqrt", 0.1 * math.sqrt(32)),
        ("legw", 0.1 * math.sqrt(32)),
        ("per_worker", 1.6),
    ],
)
def test_peak(resolved, scaling, peak):
    run = resolved(groups=16, scaling=scaling, reference={"warmup_epochs": 0.1})
    assert run.rate.peak == pytest.approx(peak, rel=1e-15)


def test_linear_scaling_is_not_whole_number_division(resolved):
    """tensorpack's 0.1 * (B // 256) gives 0.1 at B = 384."""
    assert resolved(batch_size=384).rate.peak == 0.15


def test_seed_4_baselines(resolved):
    """Scaling by workers gives 3.0 for every batch on 240 GPUs; the linear rule 1.5 to 12."""
    sizes = (3840, 7680, 15_360, 23_040, 30_720)
    reference = {"learning_rate": 0.0125, "batch_size": 32}
    peaks = {
        scaling: [
            resolved(
                examples=1_281_167,
                batch_size=size,
                groups=240,
                epochs=90,
                reference=reference,
                scaling=scaling,
            ).rate.peak
            for size in sizes
        ]
        for scaling in ("linear", "per_worker")
    }
    assert peaks == {"linear": [1.5, 3, 6, 9, 12], "per_worker": [3, 3, 3, 3, 3]}


def test_legw_resnet50_row(resolved):
    """Batch 1K: 2^2.5 and 0.3125 warmup epochs; batch 32K: 2^5 and 10 warmup epochs."""
    reference = {"learning_rate": 2**2.5, "batch_size": 1024, "warmup_epochs": 0.3125}
    run = resolved(examples=1_281_167, batch_size=32_768, epochs=90, reference=reference, **LEGW)
    assert run.rate.peak == pytest.approx(2**5)
    assert run.rate.warmup_epochs == 10
    assert not run.warnings


@given(growth=st.integers(1, 64), epochs=st.integers(1, 30).map(lambda tenths: tenths / 100))
def test_legw_warms_up_for_the_same_number_of_steps(resolved, growth, epochs):
    """k * w_0 epochs of N / (k * B_0) steps."""
    reference = {"warmup_epochs": epochs}
    small = resolved(batch_size=256, reference=reference, **LEGW)
    large = resolved(batch_size=256 * growth, reference=reference, **LEGW)
    assert large.rate.warmup_steps == pytest.approx(small.rate.warmup_steps, rel=1e-14)
    assert large.rate.warmup_epochs == pytest.approx(growth * epochs)
    assert large.rate.peak == pytest.approx(math.sqrt(growth) * small.rate.peak)


@given(
    examples=st.integers(500, 100_000),
    reference=st.integers(1, 400),
    batch_size=st.integers(1, 4000),
    hundredths=st.integers(1, 100),
)
def test_legw_s_identity_for_any_examples_and_batches(resolved, examples, reference, batch_size, hundredths):
    """Warmup steps are w_ref·N/B_ref whatever B, exactly, and the peak squared is linear in B."""
    run = resolved(
        examples=examples,
        epochs=200 * 4000,  # so that the cap never binds
        batch_size=batch_size,
        reference={"batch_size": reference, "warmup_epochs": hundredths / 100},
        **LEGW,
    )
    assert run.rate.warmup_steps == float(Fraction(hundredths, 100) * examples / reference)
    assert (run.rate.peak / 0.1) ** 2 == pytest.approx(batch_size / reference, rel=1e-12)
    assert not any("legw asks for" in text for text in run.warnings)


def test_legw_is_capped_at_the_run_with_a_warning(resolved):
    run = resolved(reference={"warmup_epochs": 2}, **LEGW)
    assert run.rate.warmup_epochs == 30
    assert run.rate.warmup_steps == 30 * run.timeline.steps_per_epoch
    assert run.warnings == (
        "recipe.scaling: legw asks for 64 epochs of warmup, cut to the run's 30: "
        "the peak rate is never reached",
    )


def test_legw_says_that_it_brings_its_own_warmup(resolved):
    run = resolved(scaling="legw", reference={"warmup_epochs": 0.1})
    assert run.rate.warmup_epochs == pytest.approx(3.2)
    assert run.warnings == (
        "recipe.warmup: scaling legw takes its length from reference.warmup_epochs, not from here",
    )
    with pytest.raises(RecipeError, match="scaling legw brings its own warmup"):
        resolved(scaling="legw", reference={"warmup_epochs": 0.1}, warmup={"kind": "none"})


def test_rules_without_their_reference(resolved):
    for scaling in ("linear", "sqrt"):
        with pytest.raises(RecipeError, match=f"recipe.reference.batch_size: scaling {scaling} needs"):
            resolved(scaling=scaling, reference={"batch_size": None})
    with pytest.raises(RecipeError, match=r"recipe.reference.warmup_epochs: scaling legw needs"):
        resolved(scaling="legw")


@given(
    scaling=st.sampled_from(SCALINGS),
    start=st.sampled_from(["reference", "zero", "per_worker"]),
    workers=st.sampled_from([1, 2, 3, 4, 6, 12]),
)
def test_the_rate_never_depends_on_the_number_of_ranks(resolved, scaling, start, workers):
    """A recipe for 12 workers has one trajectory, however many ranks work through it."""
    changes = {
        "batch_size": 1200,
        "groups": 12,
        "scaling": scaling,
        "reference": {"warmup_epochs": 0.1},
        "warmup": {"start": start},
    }
    alone, together = resolved(workers=1, **changes), resolved(workers=workers, **changes)
    assert together.rate.table().tolist() == alone.rate.table().tolist()
    assert together.timeline == alone.timeline


@given(groups=st.integers(1, 64), scaling=st.sampled_from(["none", "linear", "sqrt"]))
def test_only_per_worker_scales_by_the_workers(resolved, groups, scaling):
    assert resolved(batch_size=groups * 64, groups=groups, scaling="per_worker").rate.peak == pytest.approx(
        groups * 0.1
    )
    one = resolved(batch_size=groups * 64, groups=1, scaling=scaling)
    many = resolved(batch_size=groups * 64, groups=groups, scaling=scaling)
    assert many.rate.table().tolist() == one.rate.table().tolist()


def test_per_worker_is_flagged(resolved):
    warnings = resolved(groups=16, scaling="per_worker").warnings
    assert any("per_worker multiplies by the 16 workers" in text for text in warnings)


def test_unknown_kinds(resolved):
    for changes, message in (
        ({"scaling": "cubic"}, "recipe.scaling: 'cubic' is not one of none, linear"),
        ({"schedule": {"kind": "cosin"}}, "recipe.schedule.kind: 'cosin' is not one of constant, step"),
        ({"warmup": {"kind": "hot"}}, "recipe.warmup.kind: 'hot' is not one of none, gradual"),
        ({"warmup": {"start": "hot"}}, "recipe.warmup.start: 'hot' is not a number or one of reference"),
        ({"remainder": "keep"}, "recipe.remainder: 'keep' is not one of continuous, drop"),
    ):
        with pytest.raises(RecipeError) as error:
            resolved(**changes)
        assert str(error.value).startswith(message)


def test_a_new_schedule_plugs_in(resolved, monkeypatch):
    monkeypatch.setattr(schedules, "_REGISTRY", dict(schedules._REGISTRY))

    @schedules.register("halves")
    def halves(options, course):
        middle = math.ceil(course.offset + (course.timeline.total_steps - course.offset) / 2)
        return schedules.PiecewiseConstant([middle], [course.peak, course.peak / 2])

    run = resolved(schedule={"kind": "halves"})
    assert run.schedule == "halves"
    assert run.rate(219) == 1.6
    assert run.rate(37) == 3.2


def test_columns(resolved):
    columns = resolved(groups=16, workers=4).columns()
    assert columns == {
        "batch_size": 8192,
        "groups": 16,
        "workers": 4,
        "batch_per_group": 512,
        "scaling": "linear",
        "warmup_kind": "gradual",
        "warmup_epochs": 5,
        "warmup_steps": 36.62109375,
        "learning_rate_start": 0.1,
        "learning_rate_peak": 3.2,
        "schedule": "constant",
        "epochs": 30,
        "steps": 220,
    }
    assert resolved(warmup={"epochs": 0}).columns()["warmup_kind"] == "none"
