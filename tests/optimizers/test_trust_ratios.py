"""The ratios of the last step, as an optimizer tells them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from steps import problem, run

from horovod_lb.optimizers import LAMB, LARS, LayerWise


def norms(weights: dict[str, Any], gradient: dict[str, Any]) -> dict[str, tuple[float, float]]:
    return {
        name: (float(np.linalg.norm(weights[name])), float(np.linalg.norm(gradient[name])))
        for name in weights
    }


@pytest.mark.parametrize("graph", [True, False], ids=["graph", "eager"])
@pytest.mark.parametrize("on", [None, "gradient", "update"])
def test_of_the_last_step(on: str | None, graph: bool) -> None:
    """By hand: LARS and LayerWise(SGD), with a bound, an excluded variable, zeros of both kinds."""
    weights, gradients, _ = problem(steps=2)
    common: dict[str, Any] = {
        "max_ratio": 900.0,
        "exclude_from_adaptation": ["vector"],
        "record_ratios": True,
    }
    around = {"optimizer": keras.optimizers.SGD(0.1), "on": on}
    optimizer = LayerWise(**around, **common) if on else LARS(0.1, **common)
    before = run(optimizer, weights, gradients, graph)[0]
    found = optimizer.trust_ratios()
    assert set(found) == set(weights) - {"vector"}
    for name, (size, slope) in norms(before, gradients[1]).items():
        if name != "vector":
            expected = 1.0 if slope == 0 else min(size / slope, 900.0)
            assert found[name] == pytest.approx(expected, rel=1e-5), name
    assert found["kernel"] == 900.0 and found["idle"] == 1.0 and found["filters"] < 0.1


def test_of_lamb() -> None:
    """After one step m̂/√v̂ is the sign of the gradient, whose norm is √(number of weights)."""
    weights, gradients, _ = problem(steps=1)
    optimizer = LAMB(0.1, epsilon=1e-30, record_ratios=True)
    run(optimizer, weights, gradients)
    for name in ("scalar", "vector", "kernel", "filters"):
        expected = np.linalg.norm(weights[name]) / np.sqrt(weights[name].size)
        assert optimizer.trust_ratios()[name] == pytest.approx(expected, rel=1e-5)


def test_they_are_not_kept_without_asking() -> None:
    """No variable for them, so nothing in checkpoints and nothing to compute."""
    variable = keras.Variable([1.0, 2.0], name="kernel")
    silent, telling = LARS(0.1), LARS(0.1, record_ratios=True)
    with pytest.raises(ValueError, match="has not been built yet"):
        silent.trust_ratios()
    for optimizer in (silent, telling):
        optimizer.build([variable])
    assert len(telling.variables) == len(silent.variables) + 1
    with pytest.raises(ValueError, match="give it record_ratios=True"):
        silent.trust_ratios()
    assert np.isnan(telling.trust_ratios()["kernel"])


@pytest.mark.parametrize("make", [lambda **o: LARS(0.1, **o), lambda **o: LayerWise("adam", **o)])
def test_a_variable_without_gradient(make: Any) -> None:
    one, other = keras.Variable([3.0, 4.0], name="one"), keras.Variable([1.0], name="other")
    optimizer = make(record_ratios=True)
    optimizer.apply([tf.constant([0.0, 2.0]), None], [one, other])
    found = optimizer.trust_ratios()
    assert np.isfinite(found["one"]) and np.isnan(found["other"])


@pytest.mark.parametrize("make", [LARS, LAMB, LayerWise])
def test_inside_of_other_wrappers(make: Any) -> None:
    """Half precision and accumulation put the update into a branch of the graph."""
    options: dict[str, Any] = {"record_ratios": True}
    if make is LayerWise:
        inner = LayerWise(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), **options)
    else:
        inner = make(0.1, gradient_accumulation_steps=2, **options)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=4.0)
    variable = keras.Variable([3.0, 4.0], name="kernel")
    optimizer.build([variable])
    step = tf.function(lambda g: optimizer.apply([g], [variable]))
    step(tf.constant([4.0, 0.0]))
    assert np.isnan(inner.trust_ratios()["kernel"])
    step(tf.constant([12.0, 0.0]))
    expected = 5.0 if make is LAMB else 2.5  # LAMB's u is (1, 0), the mean gradient (2, 0)
    assert inner.trust_ratios()["kernel"] == pytest.approx(expected, rel=1e-5)
