"""Noise in the training step, and what of it belongs to whom, in one process."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import horovod_lb as hlb
from horovod_lb.errors import RecipeError
from horovod_lb.measure.watch import GradientWatch
from horovod_lb.study.noise import Noise
from horovod_lb.training.loss import CORRECT, COUNT
from horovod_lb.training.step import TrainingStep

GROUPS, SIZE, RATE = 4, 6, 0.1


@pytest.fixture(autouse=True, scope="module")
def horovod() -> None:
    hlb.init()


def words(**given: float) -> dict[str, Any]:
    return Noise.model_validate(given).model_dump()


def linear(shape: tuple[int, int] = (50, 40)) -> Any:
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input(shape[:1]), keras.layers.Dense(shape[1], use_bias=False)])


def network() -> Any:
    keras.utils.set_random_seed(3)
    layers = keras.layers
    hidden = [layers.Dense(16), layers.BatchNormalization(momentum=0.7), layers.ReLU(), layers.Dropout(0.4)]
    return keras.Sequential([keras.Input((5,)), *hidden, layers.Dense(3)])


def batch(step: int, features: int = 5, classes: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    stream = np.random.default_rng(step)
    return [
        (stream.normal(size=(SIZE, features)).astype("float32"), stream.integers(0, classes, SIZE))
        for _ in range(GROUPS)
    ]


def trained(
    model: Any, noise: Any, steps: int = 1, data: Any = batch, rate: float = RATE, **options: Any
) -> list[np.ndarray]:
    """What the steps returned."""
    optimizer = hlb.DistributedOptimizer(keras.optimizers.SGD(rate))
    optimizer.build(model.trainable_variables)
    watch = GradientWatch(optimizer) if options.pop("watch", False) else None
    options = {"groups": GROUPS, "classes": 3, "seed": 1, "watch": watch, **options}
    step = TrainingStep(model, optimizer, noise=noise, **options)
    return [step(t, data(t), 0, GROUPS * SIZE, 1) for t in range(steps)]


def equal(found: Any, expected: Any) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_noise_of_zero_is_no_noise_to_the_bit() -> None:
    quiet, none = network(), network()
    equal(trained(quiet, words(), 3), trained(none, None, 3))
    equal(quiet.variables, none.variables)


def half_square(labels: Any, outputs: Any) -> Any:
    return 0.5 * tf.reduce_sum(outputs**2, -1)


def displacement(model: Any, before: np.ndarray, groups: Any) -> np.ndarray:
    """n of a step on mean ½‖xW‖², whose gradient at W + n is A(W + n), A = xᵀx/N: from what the step did."""
    x = np.concatenate([x for x, _ in groups]).astype("float64")
    curvature = x.T @ x / len(x)
    change = (before - model.trainable_variables[0].numpy()).astype("float64") / RATE
    return np.linalg.solve(curvature, change) - before


def wide(step: int) -> Any:
    """Enough examples that A is regular."""
    stream = np.random.default_rng(step)
    return [(stream.normal(size=(60, 50)).astype("float32"), np.zeros(60, int)) for _ in range(GROUPS)]


def test_the_gradient_is_taken_at_noisy_weights_and_applied_at_the_weights() -> None:
    noises = []
    for cut in (GROUPS, 1):
        model = linear()
        before = model.trainable_variables[0].numpy()
        data = wide(0)
        if cut == 1:
            data = [tuple(np.concatenate(part) for part in zip(*data, strict=True))]
        trained(model, words(weights=0.2), data=lambda t, data=data: data, loss=half_square, groups=cut)
        noises.append(displacement(model, before, data))
    assert noises[0].std() == pytest.approx(0.2, rel=0.05)
    assert noises[0].mean() == pytest.approx(0.0, abs=0.02)
    np.testing.assert_allclose(noises[0], noises[1], atol=5e-4, err_msg="every group has the same noise")


def test_weights_come_back_to_the_bit() -> None:
    model = network()
    before = [v.numpy() for v in model.trainable_variables]
    trained(model, words(weights=3.0), steps=2, rate=0.0)
    equal(model.trainable_variables, before)


def test_the_decay_is_taken_at_the_weights_themselves() -> None:
    """A loss that is linear in the weights has the gradient c everywhere; λw tells where the decay is."""
    model = linear((5, 3))
    (kernel,) = model.trainable_variables
    w = kernel.numpy()
    (totals,) = trained(
        model,
        words(weights=4.0),
        data=lambda t: [(np.ones_like(x), y) for x, y in batch(t)],
        loss=lambda labels, outputs: tf.reduce_sum(outputs, -1),
        penalty=0.5,
        penalized=[kernel],
        watch=True,
    )
    np.testing.assert_allclose(kernel.numpy(), w - RATE * (1 + 0.5 * w), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(totals[4], GROUPS * SIZE * ((1 + 0.5 * w) ** 2).sum(), rtol=1e-5)


def sam(rho: float, group: Any) -> dict[str, Any]:
    return {"rho": rho, "group": group, "decay_at": "w", "adaptive": False}


@pytest.mark.parametrize("group", ["worker", 2, "global"])
def test_both_passes_of_sam_see_the_same_noise(group: Any) -> None:
    """At ρ = 0 the second pass is the first: with dropout, batch norm and noise, to the bit."""
    noise = words(activations=0.5, labels=0.3)
    sharp, plain = network(), network()
    found, expected = trained(sharp, noise, 3, sam=sam(0.0, group)), trained(plain, noise, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg="sums of losses, added in other orders")
    equal(sharp.variables, plain.variables)
    quiet = network()
    trained(quiet, None, 3)
    assert not np.array_equal(quiet.variables[0], plain.variables[0])


def test_activation_noise_is_fresh_in_every_step_and_group() -> None:
    """A hidden layer that puts out 0 hands on its noise alone, which is then the model's output."""
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Dense(200, kernel_initializer="zeros"),
        keras.layers.Dense(200, kernel_initializer="identity"),
    ]
    model = keras.Sequential([keras.Input((5,)), *layers])
    seen: list[np.ndarray] = []

    def look(labels: Any, outputs: Any) -> Any:
        tf.numpy_function(lambda value: seen.append(value.copy()), [outputs], [])
        return 0.0 * tf.reduce_sum(outputs, -1)

    trained(model, words(activations=0.3), 2, loss=look)
    noise = [value.ravel() for value in seen]
    assert len(noise) == 2 * GROUPS
    assert np.std(noise) == pytest.approx(0.3, rel=0.02)
    correlations = np.corrcoef(noise)[np.triu_indices(len(noise), 1)]
    assert np.abs(correlations).max() < 0.15


def test_labels_are_replaced_before_they_are_counted() -> None:
    """A model that always says class 0, on examples of class 0: right where the label was not replaced."""
    keras.utils.set_random_seed(0)
    bias = keras.initializers.Constant(np.array([9.0, 0, 0]))
    dense = keras.layers.Dense(3, kernel_initializer="zeros", bias_initializer=bias)
    model = keras.Sequential([keras.Input((5,)), dense])
    zeros = [(x, np.zeros_like(y)) for x, y in batch(0)]
    totals = np.array(trained(model, words(labels=0.6), 100, data=lambda t: zeros, rate=0.0))
    share = totals[:, CORRECT].sum() / totals[:, COUNT].sum()
    assert share == pytest.approx(1 - 0.6 * 2 / 3, abs=0.04)
    assert len(set(totals[:, CORRECT])) > 3, "the same labels in every step"


def test_labels_need_to_know_the_classes() -> None:
    with pytest.raises(RecipeError, match=r"data\.classes"):
        trained(network(), words(labels=0.1), classes=0)
