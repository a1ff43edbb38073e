"""Normalization by channel is applied once and alike in training, evaluation and measurements."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import horovod_lb as hlb
from horovod_lb.data import AS_STORED, Arrays, Normalization
from horovod_lb.measure.objective import Objective
from horovod_lb.training.evaluate import Evaluation
from horovod_lb.training.loss import COUNT, LOSS, cross_entropy
from horovod_lb.training.step import TrainingStep

NORMALIZATION = Normalization(1 / 255, (0.5, 0.25, 0.4), (0.25, 0.5, 0.2))
KERNEL = np.random.default_rng(1).normal(size=(12, 3))


@pytest.fixture
def data() -> Arrays:
    x = np.random.default_rng(0).integers(0, 256, (40, 2, 2, 3)).astype(np.uint8)
    return Arrays(x, np.arange(40) % 3)


@pytest.fixture
def model() -> Any:
    hlb.init()
    made = keras.Sequential(
        [keras.Input((2, 2, 3)), keras.layers.Flatten(), keras.layers.Dense(3, use_bias=False)]
    )
    made.layers[-1].kernel.assign(KERNEL)
    return made


def closed_form(data: Arrays, normalization: Normalization) -> tuple[float, np.ndarray]:
    """Mean cross-entropy of the linear model and its gradient, by float64 arithmetic from the definition."""
    x = data.x / 255.0 if normalization.mean else data.x * normalization.scale
    if normalization.mean:
        x = (x - np.array(normalization.mean)) / np.array(normalization.std)
    x = x.reshape(len(x), -1)
    logits = x @ KERNEL
    shifted = logits - logits.max(axis=1, keepdims=True)
    p = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(len(p)), data.y]).mean()
    return float(loss), x.T @ (p - np.eye(3)[data.y]) / len(p)


@pytest.mark.parametrize("normalization", [NORMALIZATION, Normalization(1 / 255)])
def test_against_the_closed_form(model: Any, data: Arrays, normalization: Normalization) -> None:
    loss, gradient = closed_form(data, normalization)
    assert Evaluation(model, normalization)(data)["loss"] == pytest.approx(loss, rel=1e-5)
    objective = Objective(model, cross_entropy, data, normalize=normalization)
    value, measured = objective.value_and_gradient()
    assert value == pytest.approx(loss, rel=1e-5)
    assert np.allclose(measured.reshape(12, 3), gradient, rtol=1e-4, atol=1e-5)
    optimizer = hlb.DistributedOptimizer(keras.optimizers.SGD(0.5))
    optimizer.build(model.trainable_variables)
    totals = TrainingStep(model, optimizer, normalize=normalization)(0, [(data.x, data.y)], 0, 40, 1)
    assert totals[LOSS] / totals[COUNT] == pytest.approx(loss, rel=1e-5)
    assert np.allclose(model.layers[-1].kernel.numpy(), KERNEL - 0.5 * gradient, rtol=1e-4, atol=1e-5)


def test_arrays_and_tensors_alike(data: Arrays) -> None:
    """In the graph too, in float32; without a mean the input is x · scale to the bit."""
    x = data.x.astype(np.float32)
    found = NORMALIZATION(x)
    assert found.dtype == np.float32
    graph = tf.function(NORMALIZATION)(tf.constant(x)).numpy()
    assert graph.dtype == np.float32 and np.allclose(graph, found, rtol=1e-6, atol=1e-6)
    assert np.array_equal(Normalization(0.3)(x), x * np.float32(0.3))
    assert np.array_equal(AS_STORED(x), x)
