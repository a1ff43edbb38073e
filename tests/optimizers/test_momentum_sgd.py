"""MomentumSGD against the u-form in NumPy, PyTorch's formula, and Keras' SGD."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from horovod_lb.optimizers import MomentumSGD

STEPS, SHAPE = 40, (3, 4)


@keras.saving.register_keras_serializable(package="tests")
class Rates(keras.optimizers.schedules.LearningRateSchedule):
    """Any sequence of rates."""

    def __init__(self, rates: Any) -> None:
        self.rates = np.asarray(rates, "float32")

    def __call__(self, step: Any) -> Any:
        return keras.ops.take(keras.ops.convert_to_tensor(self.rates), keras.ops.cast(step, "int32"))

    def get_config(self) -> dict[str, Any]:
        return {"rates": self.rates.tolist()}


def gradients(steps: int = STEPS) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(steps, *SHAPE)).astype("float32")


def rate_sequence(seed: int, zeros: bool) -> np.ndarray:
    rates = 10 ** np.random.default_rng(seed).uniform(-3, 0, STEPS)
    if zeros:
        rates[[0, 1, 9, 10, 11, 25, STEPS - 2, STEPS - 1]] = 0
    return rates.astype("float32")


def u_form(rates: np.ndarray, grads: np.ndarray, momentum: float, nesterov: bool) -> np.ndarray:
    """PyTorch's SGD (dampening 0): u = m·u + g; w = w − η·(g + m·u) or η·u; in float64, every step's w."""
    w, u, path = np.ones(SHAPE), np.zeros(SHAPE), []
    for rate, g in zip(rates.astype("float64"), grads.astype("float64"), strict=True):
        u = momentum * u + g
        w = w - rate * (g + momentum * u if nesterov else u)
        path.append(w)
    return np.array(path)


def run(optimizer: Any, grads: np.ndarray, graph: bool = True) -> np.ndarray:
    variable = keras.Variable(np.ones(SHAPE, "float32"))
    optimizer.build([variable])

    def step(g: Any) -> None:
        optimizer.apply([g], [variable])

    step = tf.function(step) if graph else step
    path = []
    for g in grads:
        step(tf.constant(g))
        path.append(variable.numpy().copy())
    return np.array(path)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_with_correction_every_step_is_the_u_form(seed: int, zeros: bool, nesterov: bool) -> None:
    rates = rate_sequence(seed, zeros)
    found = run(MomentumSGD(Rates(rates), 0.9, nesterov=nesterov), gradients())
    np.testing.assert_allclose(found, u_form(rates, gradients(), 0.9, nesterov), rtol=2e-5, atol=2e-5)


@settings(deadline=None, max_examples=15)
@given(
    powers=st.lists(st.one_of(st.none(), st.floats(-4, 0.3)), min_size=2, max_size=12),
    momentum=st.floats(0, 0.99),
    nesterov=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_any_rates_and_momentum_are_the_u_form(
    powers: list[float | None], momentum: float, nesterov: bool, seed: int
) -> None:
    """Also rates of 0 (None) anywhere and rates that fall or rise by orders of magnitude, step by step."""
    rates = np.array([0.0 if power is None else 10.0**power for power in powers], "float32")
    grads = np.random.default_rng(seed).normal(size=(len(rates), *SHAPE)).astype("float32")
    found = run(MomentumSGD(Rates(rates), momentum, nesterov=nesterov), grads, graph=False)
    expected = u_form(rates, grads, momentum, nesterov)
    # Round-off is measured by what was added up: the weights go through 0.
    moved = np.abs(np.diff(np.concatenate([np.ones((1, *SHAPE)), expected]), axis=0)).sum(0)
    assert (np.abs(found - expected) <= 1e-5 * (1 + moved)).all()


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_sequence_tells_the_forms_apart(nesterov: bool) -> None:
    """Without correction the same rates lead far away, so the test above can fail."""
    rates = rate_sequence(0, False)
    found = run(MomentumSGD(Rates(rates), 0.9, nesterov=nesterov, correction=False), gradients())
    assert np.abs(found[-1] - u_form(rates, gradients(), 0.9, nesterov)[-1]).max() > 0.1


@pytest.mark.parametrize("nesterov", [False, True])
def test_rates_set_from_outside(nesterov: bool) -> None:
    """As callbacks set them, between steps of one traced graph."""
    rates = rate_sequence(2, True)
    optimizer = MomentumSGD(0.5, 0.8, nesterov=nesterov)
    variable = keras.Variable(np.ones(SHAPE, "float32"))
    optimizer.build([variable])
    step = tf.function(lambda g: optimizer.apply([g], [variable]))
    for rate, g in zip(rates, gradients(), strict=True):
        optimizer.learning_rate = float(rate)
        step(tf.constant(g))
    expected = u_form(rates, gradients(), 0.8, nesterov)[-1]
    np.testing.assert_allclose(variable.numpy(), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
def test_without_correction_it_is_keras_sgd_to_the_bit(momentum: float, nesterov: bool) -> None:
    rates = rate_sequence(3, True)
    ours = run(MomentumSGD(Rates(rates), momentum, nesterov=nesterov, correction=False), gradients())
    keras_sgd = keras.optimizers.SGD(Rates(rates), momentum=momentum, nesterov=nesterov)
    np.testing.assert_array_equal(ours, run(keras_sgd, gradients()))


def test_a_constant_rate_needs_no_correction() -> None:
    constant = np.full(STEPS, 0.05, "float32")
    ours = run(MomentumSGD(Rates(constant), 0.9), gradients())
    np.testing.assert_allclose(
        ours, run(keras.optimizers.SGD(0.05, momentum=0.9), gradients()), rtol=1e-5, atol=1e-6
    )


def test_accumulation_of_keras() -> None:
    """Two micro-batches a step: the u-form on their means, with the rate of the step's last micro-batch."""
    rates = np.repeat(rate_sequence(4, True)[: STEPS // 2], 2)
    grads = gradients()
    optimizer = MomentumSGD(Rates(rates), 0.9, gradient_accumulation_steps=2)
    found = run(optimizer, grads)[1::2]
    means = grads.reshape(STEPS // 2, 2, *SHAPE).mean(axis=1)
    np.testing.assert_allclose(found, u_form(rates[1::2], means, 0.9, False), rtol=2e-5, atol=2e-5)
    assert int(optimizer.iterations) == STEPS // 2


def test_eager_and_graph_agree() -> None:
    rates = rate_sequence(5, True)
    eager = run(MomentumSGD(Rates(rates), 0.9, nesterov=True), gradients(), graph=False)
    graph = run(MomentumSGD(Rates(rates), 0.9, nesterov=True), gradients())
    np.testing.assert_allclose(eager, graph, rtol=1e-6, atol=1e-6)


def test_rows_of_an_embedding() -> None:
    """Sparse gradients are the dense ones with zeros: rows that were not used move on by their momentum."""
    rows, values = tf.constant([1, 2]), tf.constant(gradients(2)[:, :2])
    paths = []
    for dense in (False, True):
        variable = keras.Variable(np.ones((5, 4), "float32"))
        optimizer = MomentumSGD(Rates([0.1, 0.5, 0.0, 0.2]), 0.9)
        for step in range(4):
            sparse = tf.IndexedSlices(values[step % 2], rows, dense_shape=tf.constant([5, 4]))
            optimizer.apply([tf.convert_to_tensor(sparse) if dense else sparse], [variable])
        paths.append(variable.numpy())
    np.testing.assert_allclose(paths[0], paths[1], rtol=1e-6)


def test_state_and_options_survive_saving(tmp_path: Any) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    options = {"momentum": 0.7, "nesterov": True, "correction": True, "weight_decay": 0.01}
    model.compile(MomentumSGD(0.3, **options), "mse")
    stream = np.random.default_rng(0)
    x, y = stream.normal(size=(8, 3)), stream.normal(size=(8, 2))
    model.fit(x, y, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(again.optimizer, MomentumSGD)
    config = again.optimizer.get_config()
    assert {name: config[name] for name in options} == options
    for other in (model, again):
        other.optimizer.learning_rate = 0.05
        other.fit(x, y, epochs=2, shuffle=False, verbose=0)
    for found, expected in zip(again.variables, model.variables, strict=True):
        np.testing.assert_array_equal(found.numpy(), expected.numpy())


@pytest.mark.parametrize("momentum", [-0.1, 1.0, 1.5])
def test_a_momentum_out_of_range_is_refused(momentum: float) -> None:
    with pytest.raises(ValueError, match=rf"\[0, 1\), not {momentum}"):
        MomentumSGD(0.1, momentum)
