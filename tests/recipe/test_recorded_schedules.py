"""Every schedule at every step against the rates that optax and PyTorch gave, see `tests/oracles`.

How their words map to the recipe's, N examples, B of them a step, E epochs, S = N/B, T = ⌈E·S⌉, T_w steps of
warmup, T_0 = 0 or T_w by the `anchor`; step t, from 0, has the rate before update t:

- `warmup`: `optax.linear_schedule(start, peak, T_w)`; `optax.constant_schedule(start)`; for `cosine`
  `optax.piecewise_interpolate_schedule("cosine", start, {T_w: peak/start})`. The peak is reached at t = T_w.
- `anchor: after_warmup`: `optax.join_schedules([warmup, schedule], [T_w])`, which hands the schedule t − T_w,
  and a decay over T − T_w steps. `anchor: zero`: the schedule is asked for t itself, and decays over T.
- `step`: `optax.piecewise_constant_schedule`: from the step t ≥ epoch·S on; `MultiStepLR` likewise.
- `polynomial`: `optax.polynomial_schedule(peak, end, power, T − T_0)`; `PolynomialLR` has no end but 0.
- `cosine`: `optax.cosine_decay_schedule(peak, T − T_0, alpha=end/peak)`: optax's floor is a part of the peak,
  the recipe's and PyTorch's `eta_min` a rate.
- `cosine_restarts`: `optax.sgdr_schedule`, or `CosineAnnealingWarmRestarts`. They are told the length of a
  cycle, the recipe the number of cycles (here 2, 5 and 12: coarse, regular and fine grain), so that the last
  one ends with the run. Where a cycle is not a whole number of steps, its first step is past the peak.
- `cyclical`: PyTorch's `CyclicLR(base_lr, max_lr, step_size_up)`, whose `step_size_up` is half of a cycle.
- `exponential`: `optax.exponential_decay(peak, every_epochs·S, factor, staircase=…)`; `ExponentialLR` is told
  the factor of one step, factor^(1/(every_epochs·S)).
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from horovod_lb.recipe import schedules

RECORDED = Path(__file__).parents[1] / "oracles" / "schedules.npz"
with np.load(RECORDED) as file:
    ABOUT = json.loads(str(file["about"]))
    ANSWERS = {name: file[name] for name in ABOUT["cases"]}


def rate_of(resolved, case):
    common, warmup = ABOUT["common"], {"steps": None, **case["warmup"]}
    return resolved(
        examples=common["examples"],
        epochs=common["epochs"],
        batch_size=case["batch_size"],
        scaling="none",
        reference={"learning_rate": common["learning_rate"]},
        warmup=warmup,
        schedule=case["schedule"],
    ).rate


@pytest.mark.parametrize("name", ANSWERS)
def test_every_step_as_recorded(resolved, name):
    rate, answers = rate_of(resolved, ABOUT["cases"][name]), ANSWERS[name]
    np.testing.assert_allclose(rate.table(), answers, rtol=1e-12, atol=1e-15)
    assert [rate(t) for t in range(len(answers))] == rate.table().tolist()


def test_every_kind_and_warmup_is_recorded_with_both_anchors():
    cases = ABOUT["cases"].values()
    found = {(case["schedule"]["kind"], case["warmup"]["kind"], case["schedule"]["anchor"]) for case in cases}
    assert {kind for kind, _, _ in found} == set(schedules.kinds())
    for kind in schedules.kinds():
        for warmup in ("gradual", "cosine"):
            assert {(kind, warmup, "zero"), (kind, warmup, "after_warmup")} <= found
        assert (kind, "none", "zero") in found
    assert {"jax", "numpy", "optax", "torch"} == set(ABOUT["versions"])


def test_the_answers_differ_between_the_anchors():
    """Where the anchor means something: all but a constant rate, after a warmup."""
    for name, answer in ANSWERS.items():
        kind, warmup, anchor = name.split("/")
        if anchor == "after_warmup" and kind != "constant":
            assert np.abs(answer - ANSWERS[f"{kind}/{warmup}/zero"]).max() > 1e-3


def test_a_warmup_of_a_part_of_a_step_is_among_them(resolved):
    case = ABOUT["cases"]["cosine/gradual-real/after_warmup"]
    steps = rate_of(resolved, case).warmup_steps
    assert steps == pytest.approx(2.3 * 1000 / 96) and steps != math.floor(steps)
