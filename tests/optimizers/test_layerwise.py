"""LayerWise around Keras' optimizers against NumPy by the formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from formulas import Rule, adagrad, adam, lamb, layerwise, path, rmsprop, sgd
from steps import Table, distance, problem, run

from horovod_lb.optimizers import LAMB, LARS, LayerWise, MomentumSGD

RATE = 0.05
INNER: dict[str, tuple[Callable[..., Any], Callable[[], Rule]]] = {
    "sgd": (keras.optimizers.SGD, sgd),
    "momentum": (lambda rate: keras.optimizers.SGD(rate, momentum=0.9), lambda: sgd(0.9)),
    "ours": (lambda rate: MomentumSGD(rate, 0.9), lambda: sgd(0.9)),
    "adam": (keras.optimizers.Adam, adam),
    "rmsprop": (keras.optimizers.RMSprop, rmsprop),
    "adagrad": (keras.optimizers.Adagrad, adagrad),
}


@pytest.mark.parametrize("bounds", [(0.0, None), (0.2, 1.5)], ids=["unbounded", "bounded"])
@pytest.mark.parametrize("on", ["gradient", "update"])
@pytest.mark.parametrize("name", INNER)
def test_by_the_formula(name: str, on: str, bounds: tuple[float, float | None]) -> None:
    weights, gradients, _ = problem()
    make, rule = INNER[name]
    found = run(LayerWise(make(RATE), *bounds, on=on), weights, gradients)
    low, high = bounds[0], bounds[1] or np.inf
    rules = {variable: layerwise(rule(), on, low, high) for variable in weights}
    expected = path(rules, weights, gradients, [RATE] * len(gradients))
    for step, wanted in zip(found, expected, strict=True):
        assert distance(step, wanted, weights) < 1e-5
    if bounds[1]:
        unbounded = run(LayerWise(make(RATE), on=on), weights, gradients)
        assert distance(found[-1], unbounded[-1]) > 1e-3, "the bounds did nothing"


@pytest.mark.parametrize("name", ["ours", "adam", "rmsprop"])
def test_the_update_of_changing_rates(name: str) -> None:
    """Rates outside of the buffer: the ratio is of the update, the change divided by that step's rate."""
    weights, gradients, rates = problem()
    make, rule = INNER[name]
    found = run(LayerWise(make(Table(rates)), 0.1, 2.0), weights, gradients)
    rules = {variable: layerwise(rule(), "update", 0.1, 2.0) for variable in weights}
    for step, wanted in zip(found, path(rules, weights, gradients, rates), strict=True):
        assert distance(step, wanted, weights) < 1e-5


def test_around_adam_it_is_lamb() -> None:
    """Without decay, with the same ε: two ways to one result."""
    weights, gradients, rates = problem()
    ours = run(LayerWise(keras.optimizers.Adam(Table(rates), epsilon=1e-30)), weights, gradients)[-1]
    expected = path({name: lamb(epsilon=1e-30) for name in weights}, weights, gradients, rates)[-1]
    for name in ("scalar", "vector", "kernel", "filters"):
        np.testing.assert_allclose(ours[name], expected[name], rtol=2e-5)


def test_on_the_gradient_around_sgd_it_is_lars() -> None:
    weights, gradients, rates = problem()
    found = run(LayerWise(keras.optimizers.SGD(Table(rates), 0.9), on="gradient"), weights, gradients)
    assert distance(found[-1], run(LARS(Table(rates)), weights, gradients)[-1]) < 3e-6


def test_small_steps_keep_their_digits() -> None:
    """Weights of 1000 and a rate of 1e-3: the change is caught, not the difference of rounded weights."""
    weights = {"kernel": np.full((50,), 1000.0, "float32")}
    gradients = [{"kernel": np.linspace(0.5, 1.5, 50, dtype="float32")}]
    optimizer = LayerWise(keras.optimizers.SGD(1e-3), record_ratios=True)
    run(optimizer, weights, gradients)
    expected = np.linalg.norm(weights["kernel"]) / np.linalg.norm(gradients[0]["kernel"])
    assert optimizer.trust_ratios()["kernel"] == pytest.approx(expected, rel=1e-6)


def test_a_rate_of_0() -> None:
    """The step is the inner optimizer's: Keras' SGD moves on by its history."""
    weights, gradients, _ = problem(steps=3)
    rates = [0.05, 0.0, 0.05]
    found = run(LayerWise(keras.optimizers.SGD(Table(rates), 0.9)), weights, gradients)
    assert all(np.isfinite(value).all() for value in found[-1].values())
    still = run(LayerWise(keras.optimizers.Adam(Table(rates))), weights, gradients)
    for name in weights:
        np.testing.assert_array_equal(still[0][name], still[1][name])


REST = {
    "Adadelta": keras.optimizers.Adadelta,
    "Adamax": keras.optimizers.Adamax,
    "AdamW": lambda rate: keras.optimizers.AdamW(rate, weight_decay=0.0),
    "Ftrl": keras.optimizers.Ftrl,
    "Lion": keras.optimizers.Lion,
    "Nadam": keras.optimizers.Nadam,
    "Adafactor": keras.optimizers.Adafactor,
    "Muon": lambda rate: keras.optimizers.Muon(rate, weight_decay=0.0),
}


@pytest.mark.parametrize("name", REST)
def test_every_other_optimizer_of_keras(name: str) -> None:
    """On the update, unbounded: the first step has the length η·‖w‖ and the direction of the plain one."""
    weights, gradients, _ = problem()
    weights["zero"] += 1
    # In float64, or the differences of the weights had few digits; Keras' Muon knows float32 only.
    dtype, within = ("float32", 1e-3) if name == "Muon" else ("float64", 1e-5)
    plain = run(REST[name](RATE), weights, gradients[:1], dtype=dtype)[0]
    found = run(LayerWise(REST[name](RATE)), weights, gradients[:1], dtype=dtype)[0]
    for variable in ("vector", "kernel", "filters", "zero"):
        change, wanted = found[variable] - weights[variable], plain[variable] - weights[variable]
        size = RATE * np.linalg.norm(weights[variable])
        np.testing.assert_allclose(
            change, wanted * size / np.linalg.norm(wanted), rtol=within, atol=within * size
        )


def test_decoupled_decay_stays_apart() -> None:
    """w ← w − η·λ·w first, as in Keras; then the step, with the ratio of the decayed weights."""
    weights, gradients, _ = problem()
    inner = keras.optimizers.AdamW(RATE, weight_decay=0.2)
    inner.exclude_from_weight_decay(var_names=["vector"])
    found = run(LayerWise(inner, 0.0, 1.0), weights, gradients)
    rules = {variable: layerwise(adam(), "update", 0.0, 1.0) for variable in weights}
    for rule in rules.values():
        next(rule)
    now = {name: value.astype("float64") for name, value in weights.items()}
    for gradient in gradients:
        now = {
            name: rules[name].send(
                (value * (1 - RATE * (0.0 if name == "vector" else 0.2)), gradient[name], RATE)
            )
            for name, value in now.items()
        }
    assert distance(found[-1], now, weights) < 1e-5


def test_excluded_variables_are_the_inner_optimizer_s_own() -> None:
    weights, gradients, _ = problem()
    found = run(
        LayerWise(keras.optimizers.Adam(RATE), exclude_from_adaptation=["vectors", "kernel"]),
        weights,
        gradients,
    )
    plain = run(keras.optimizers.Adam(RATE), weights, gradients)
    for name in ("scalar", "vector", "zero", "kernel"):
        np.testing.assert_array_equal(found[-1][name], plain[-1][name])
    assert distance({"f": found[-1]["filters"]}, {"f": plain[-1]["filters"]}) > 1e-2


@pytest.mark.parametrize("on", ["gradient", "update"])
def test_the_inner_optimizer_is_left_as_it_was(on: str) -> None:
    weights, gradients, _ = problem()
    inner = keras.optimizers.Adam(RATE)
    before = set(vars(inner))
    run(LayerWise(inner, on=on), weights, gradients[:2], graph=False)
    assert not {"update_step", "assign_sub", "_backend_update_step"} & (set(vars(inner)) - before)


@pytest.mark.parametrize("on", ["gradient", "update"])
def test_accumulation_and_moving_averages_of_the_inner_optimizer(on: str) -> None:
    weights, gradients, _ = problem()
    inner = keras.optimizers.Adam(RATE, gradient_accumulation_steps=2, use_ema=True, ema_momentum=0.5)
    found = run(LayerWise(inner, on=on), weights, gradients)[1::2]
    means = [
        {name: (one[name].astype("float64") + two[name]) / 2 for name in one}
        for one, two in zip(gradients[::2], gradients[1::2], strict=True)
    ]
    rules = {name: layerwise(adam(), on) for name in weights}
    expected = path(rules, weights, means, [RATE] * len(means))
    assert distance(found[-1], expected[-1], weights) < 1e-5
    averages = inner._model_variables_moving_average
    assert all(np.isfinite(average.numpy()).all() for average in averages)
    assert np.abs(averages[2].numpy() - found[-1]["kernel"]).max() > 0


@pytest.mark.parametrize("on", ["gradient", "update"])
@pytest.mark.parametrize("make", [keras.optimizers.SGD, keras.optimizers.Adam])
def test_rows_of_an_embedding(make: Any, on: str) -> None:
    """Sparse gradients as the dense ones: the ratio is of the whole table."""
    start = np.random.default_rng(2).normal(size=(5, 4)).astype("float32")
    values = np.random.default_rng(1).normal(size=(2, 4)).astype("float32")
    found = []
    for dense in (False, True):
        variable = keras.Variable(start)
        optimizer = LayerWise(make(RATE), on=on)
        for _ in range(3):
            gradient: Any = tf.IndexedSlices(tf.constant(values), tf.constant([3, 1]), tf.constant([5, 4]))
            optimizer.apply([tf.convert_to_tensor(gradient) if dense else gradient], [variable])
        found.append(variable.numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


@pytest.mark.parametrize("scale_inside", [False, True])
def test_half_precision_unscales_before_the_ratio(scale_inside: bool) -> None:
    """A loss scale makes no difference, and a step with an infinite gradient is skipped."""
    variable = keras.Variable([3.0, 4.0])
    inner = keras.optimizers.SGD(0.1, loss_scale_factor=64.0 if scale_inside else None)
    optimizer = keras.optimizers.LossScaleOptimizer(LayerWise(inner, max_ratio=2.0), initial_scale=8.0)
    optimizer.apply([tf.constant([8.0, 0.0])], [variable])  # of 1, by the scale
    np.testing.assert_allclose(variable.numpy(), [3.0 - 0.1 * 2.0, 4.0], rtol=1e-6)
    optimizer.apply([tf.constant([np.inf, 0.0])], [variable])
    np.testing.assert_allclose(variable.numpy(), [3.0 - 0.1 * 2.0, 4.0], rtol=1e-6)
    assert int(optimizer.iterations) == 1


@pytest.mark.parametrize("make", [LARS, LAMB, keras.optimizers.Lamb])
def test_a_second_ratio_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="a trust ratio of its own"):
        LayerWise(make(0.1))


def test_wrappers_go_outside() -> None:
    with pytest.raises(ValueError, match="LossScaleOptimizer, a wrapper itself"):
        LayerWise(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)))


class Direct(keras.optimizers.Optimizer):
    """Assigns past the optimizer's own methods."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        variable.assign_sub(learning_rate * gradient)


def test_an_update_that_cannot_be_seen_is_refused() -> None:
    weights, gradients, _ = problem()
    with pytest.raises(NotImplementedError, match="assigns 0 times"):
        run(LayerWise(Direct(0.1)), weights, gradients[:1])
    found = run(LayerWise(Direct(0.1), on="gradient"), weights, gradients)
    expected = run(LayerWise(keras.optimizers.SGD(0.1), on="gradient"), weights, gradients)
    assert distance(found[-1], expected[-1]) < 1e-6
