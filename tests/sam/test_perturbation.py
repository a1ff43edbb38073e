"""ε against the formula in NumPy, its defining properties, and a quadratic in closed form."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from horovod_lb.sam import ascent, perturbation

SHAPES = [(3, 4), (), (5,), (2, 3, 1, 2), (0, 4)]


def tensors(seed: int) -> list[np.ndarray]:
    stream = np.random.default_rng(seed)
    return [stream.normal(size=shape).astype("float32") for shape in SHAPES]


def variables(values: list[np.ndarray]) -> list[Any]:
    return [keras.Variable(value) for value in values]


def by_the_formula(
    gradients: list[np.ndarray], weights: list[np.ndarray], rho: float, adaptive: bool
) -> list[np.ndarray]:
    """Flattened into one vector, in float64: ρ·T²g/‖T·g‖ with T = diag|w|, or 1."""
    g = np.concatenate([value.ravel() for value in gradients]).astype("float64")
    t = np.abs(np.concatenate([value.ravel() for value in weights])) if adaptive else np.ones_like(g)
    whole = rho * t**2 * g / np.linalg.norm(t * g)
    ends = np.cumsum([value.size for value in gradients])[:-1]
    return [part.reshape(value.shape) for part, value in zip(np.split(whole, ends), gradients, strict=True)]


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_against_the_formula(seed: int, adaptive: bool) -> None:
    gradients, weights = tensors(seed), tensors(seed + 100)
    weights[0][0] = 0.0
    found = perturbation([tf.constant(g) for g in gradients], variables(weights), 0.3, adaptive)
    for one, other in zip(found, by_the_formula(gradients, weights, 0.3, adaptive), strict=True):
        assert one.dtype == tf.float32 and one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(power=st.integers(-36, 36), rho=st.floats(1e-3, 10), adaptive=st.booleans())
def test_the_length_is_rho_whatever_the_gradient_s(power: int, rho: float, adaptive: bool) -> None:
    """Also where its square is no float32 number any more; ASAM's length is that of ε/|w|."""
    gradients, weights = tensors(1), tensors(2)
    found = perturbation(
        [tf.constant(g * np.float32(10.0**power)) for g in gradients], variables(weights), rho, adaptive
    )
    scaled = [e.numpy() / (np.abs(w) if adaptive else 1.0) for e, w in zip(found, weights, strict=True)]
    length = np.sqrt(sum((e.astype("float64") ** 2).sum() for e in scaled))
    assert length == pytest.approx(rho, rel=1e-5)


def test_no_point_of_the_ball_rises_more() -> None:
    """ε maximizes g·ε over ‖ε‖ = ρ: against ten thousand other points of the sphere."""
    g = np.random.default_rng(3).normal(size=4).astype("float32")
    (found,) = perturbation([tf.constant(g)], [keras.Variable(np.ones(4))], 0.5)
    others = np.random.default_rng(4).normal(size=(10_000, 4))
    others *= 0.5 / np.linalg.norm(others, axis=1, keepdims=True)
    best = (others @ g).max()
    assert best <= float(np.dot(found, g)) + 1e-6 and best > 0.98 * float(np.dot(found, g))


def test_asam_does_not_see_the_scale_of_layers() -> None:
    """A ReLU network computes the same with its layers times c and 1/c; so does its perturbed self."""
    stream = np.random.default_rng(5)
    x, y = stream.normal(size=(8, 3)).astype("float32"), stream.normal(size=(8, 2)).astype("float32")

    def perturbed_loss(c: float) -> float:
        first = keras.Variable(np.random.default_rng(6).normal(size=(3, 5)) * c, dtype="float32")
        second = keras.Variable(np.random.default_rng(7).normal(size=(5, 2)) / c, dtype="float32")

        def loss() -> Any:
            return tf.reduce_mean(tf.square(tf.nn.relu(x @ first.value) @ second.value - y))

        with tf.GradientTape() as tape:
            value = loss()
        steps = perturbation(
            tape.gradient(value, [first.value, second.value]), [first, second], 0.2, adaptive=True
        )
        for variable, step in zip((first, second), steps, strict=True):
            variable.assign_add(step)
        return float(loss())

    assert perturbed_loss(1.0) == pytest.approx(perturbed_loss(8.0), rel=1e-5)


def test_zero_gradients_and_none() -> None:
    weights = variables([np.ones(3), np.ones((2, 2))])
    found = ascent([tf.zeros(3), None], weights, 0.1)
    assert bool(found.finite)
    for step in found.perturbation:
        np.testing.assert_array_equal(step, np.zeros(step.shape))
    first, second = perturbation([tf.constant([3.0, 0.0, 4.0]), None], weights, 0.1)
    np.testing.assert_allclose(first, [0.06, 0, 0.08], rtol=1e-6)
    np.testing.assert_array_equal(second, np.zeros((2, 2)))
    assert all(not np.any(step) for step in perturbation([None, None], weights, 0.1))


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_a_gradient_that_is_not_finite_moves_nothing(bad: float) -> None:
    weights = variables([np.ones(3), np.ones(2)])
    found = ascent([tf.constant([1.0, bad, 2.0]), tf.ones(2)], weights, 0.1)
    assert not bool(found.finite)
    for step in found.perturbation:
        np.testing.assert_array_equal(step, np.zeros(step.shape))


def test_slices_of_one_row_are_added_first() -> None:
    table = keras.Variable(np.ones((4, 2)))
    rows = tf.IndexedSlices(tf.constant([[1.0, 0], [2.0, 0], [0, 4.0]]), tf.constant([1, 1, 3]), (4, 2))
    (found,) = perturbation([rows], [table], 1.0)
    np.testing.assert_allclose(found, [[0, 0], [0.6, 0], [0, 0], [0, 0.8]], rtol=1e-6)


def test_a_quadratic_in_closed_form() -> None:
    """∇(½xᵀAx) at x + ε is A(x + ρAx/‖Ax‖), at every step of a descent."""
    root = np.random.default_rng(8).normal(size=(4, 4))
    a, rate, rho = root @ root.T, 0.02, 0.3
    x = keras.Variable([1.0, -2.0, 0.5, 3.0])
    expected = x.numpy().astype("float64")
    for _ in range(20):
        (step,) = perturbation([tf.linalg.matvec(tf.constant(a, tf.float32), x.value)], [x], rho)
        x.assign(x - rate * tf.linalg.matvec(tf.constant(a, tf.float32), x + step))
        gradient = a @ expected
        expected = expected - rate * a @ (expected + rho * gradient / np.linalg.norm(gradient))
    np.testing.assert_allclose(x.numpy(), expected, rtol=2e-5, atol=1e-6)
