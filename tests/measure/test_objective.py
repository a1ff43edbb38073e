"""The loss as a function of its weights: against closed forms, and without a trace left in the model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from horovod_lb.data import Arrays
from horovod_lb.measure.lead import lead
from horovod_lb.measure.objective import Objective
from horovod_lb.training.loss import cross_entropy


@pytest.mark.parametrize("chunk", [8, 64])
def test_value_gradient_and_products_are_those_of_the_closed_form(softmax: Any, chunk: int) -> None:
    objective = Objective(softmax.model, softmax.loss, softmax.data, chunk=chunk)
    w = objective.weights
    assert objective.size == w.size == 21
    value, gradient = objective.value_and_gradient()
    assert value == pytest.approx(softmax.value(w), rel=1e-6) == objective.value()
    np.testing.assert_allclose(gradient, softmax.gradients(w).mean(0), atol=1e-6)
    for v in np.random.default_rng(0).normal(size=(2, w.size)):
        np.testing.assert_allclose(objective.product(v), softmax.hessian(w) @ v, atol=2e-6)


def test_other_weights_and_other_examples(softmax: Any) -> None:
    objective = Objective(softmax.model, softmax.loss, softmax.data)
    before = [v.numpy().copy() for v in softmax.model.trainable_variables]
    other = np.random.default_rng(1).normal(size=objective.size)
    with objective.restored():
        objective.at(other)
        np.testing.assert_allclose(objective.weights, other, rtol=1e-6)
        objective.choose([3, 5])
        gradient = objective.value_and_gradient()[1]
    np.testing.assert_allclose(gradient, softmax.gradients(other)[[3, 5]].mean(0), atol=1e-6)
    for variable, value in zip(softmax.model.trainable_variables, before, strict=True):
        assert np.array_equal(variable.numpy(), value)


def layered() -> tuple[Any, Arrays]:
    stream = np.random.default_rng(2)
    data = Arrays(stream.normal(size=(30, 4, 4, 1)).astype("float32"), stream.integers(0, 3, 30))
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(5, 3),
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.Activation("softplus"),  # smooth: differences of gradients meet no kink
            keras.layers.AveragePooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.4, seed=1),
            keras.layers.Dense(3),
        ]
    )
    for _ in range(3):  # moving statistics that are not those of the set
        model(data.x[:7], training=True)
    return model, data


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_a_deterministic_function_that_leaves_every_variable_to_the_bit(mode: str) -> None:
    model, data = layered()
    before = [v.numpy().copy() for v in model.variables]
    objective = Objective(model, cross_entropy, data, mode=mode, chunk=10)
    w = objective.weights
    first, second = objective.value_and_gradient(), objective.value_and_gradient()
    assert first[0] == second[0] and np.array_equal(first[1], second[1])
    direction = np.random.default_rng(3).normal(size=objective.size)
    product = objective.product(direction)
    with objective.restored():
        differences = []
        for sign in (1, -1):
            objective.at(w + sign * 1e-3 * direction)
            differences.append(objective.value_and_gradient()[1])
    for variable, value in zip(model.variables, before, strict=True):
        assert np.array_equal(variable.numpy(), value), variable.path
    # The product is the derivative of the gradient along the direction.
    expected = (differences[0] - differences[1]) / 2e-3
    assert np.linalg.norm(product - expected) < 2e-3 * np.linalg.norm(expected)


@pytest.mark.parametrize(
    "layer", [keras.layers.LayerNormalization, lambda: keras.layers.GroupNormalization(groups=2)]
)
def test_products_through_moments_of_the_activations(layer: Any) -> None:
    """TensorFlow's `nn.moments` alone has a wrong second derivative; its own is put back afterwards."""
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    moments = tf.nn.moments
    data = layered()[1]
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(24),
            layer(),
            keras.layers.Dense(3),
        ]
    )
    objective = Objective(model, cross_entropy, data)
    w, direction = objective.weights, np.random.default_rng(3).normal(size=objective.size)
    product, differences = objective.product(direction), []
    for sign in (1, -1):
        objective.at(w + sign * 1e-3 * direction)
        differences.append(objective.value_and_gradient()[1])
    expected = (differences[0] - differences[1]) / 2e-3
    assert np.linalg.norm(product - expected) < 1e-3 * np.linalg.norm(expected)
    assert tf.nn.moments is moments


def test_the_modes_are_different_functions() -> None:
    model, data = layered()
    inference, training = (Objective(model, cross_entropy, data, mode=m) for m in ("inference", "training"))
    outputs = model(data.x, training=False)
    assert inference.value() == pytest.approx(float(np.mean(cross_entropy(data.y, outputs))), rel=1e-5)
    assert abs(training.value() - inference.value()) > 1e-3


def test_the_model_is_put_back_when_a_method_fails(softmax: Any) -> None:
    objective = Objective(softmax.model, softmax.loss, softmax.data)
    before = objective.weights

    def method(led: Any) -> list[float]:
        led.value_and_gradient(before + 1)
        raise ArithmeticError("made to fail")

    with pytest.raises(ArithmeticError):
        lead(objective, method, 1)
    assert np.array_equal(objective.weights, before)


def test_what_makes_no_objective_is_refused(softmax: Any) -> None:
    def make(**options: Any) -> Objective:
        return Objective(softmax.model, softmax.loss, softmax.data, **options)

    with pytest.raises(ValueError, match="mode is one of inference, training, not 'test'"):
        make(mode="test")
    with pytest.raises(ValueError, match="chunk must be at least 1, not 0"):
        make(chunk=0)
    with pytest.raises(ValueError, match="no examples"):
        make(rows=[])
