"""The loss and its counts against NumPy; random streams as functions of seed, step and group."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from horovod_lb.training.evaluate import means
from horovod_lb.training.loss import COUNT, LOSS, TOP5, count, cross_entropy
from horovod_lb.training.streams import GroupStreams


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


@pytest.mark.parametrize("classes", [3, 10])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_cross_entropy_is_the_formula(classes: int, smoothing: float) -> None:
    """q = (1 − α)·onehot + α/K, over all K classes."""
    stream = np.random.default_rng(0)
    logits, labels = 30 * stream.normal(size=(50, classes)), stream.integers(0, classes, 50)
    target = (1 - smoothing) * np.eye(classes)[labels] + smoothing / classes
    expected = -(target * log_softmax(logits)).sum(1)
    found = cross_entropy(tf.constant(labels), tf.constant(logits, tf.float32), smoothing)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-4)
    assert found.dtype == tf.float32


@pytest.mark.parametrize("classes", [3, 10])
def test_counts(classes: int) -> None:
    stream = np.random.default_rng(1)
    logits = stream.normal(size=(200, classes)).astype("float32")
    labels, losses = stream.integers(0, classes, 200), stream.random(200).astype("float32")
    loss, correct, top5, number = count(tf.constant(labels), tf.constant(logits), losses).numpy()
    rank_of_label = (logits > logits[np.arange(200), labels][:, None]).sum(1)
    assert loss == pytest.approx(losses.sum(), rel=1e-5)
    assert (correct, top5, number) == ((rank_of_label == 0).sum(), (rank_of_label < 5).sum(), 200)


def test_means_of_nothing_are_not_a_number() -> None:
    sums = np.zeros(4)
    assert all(np.isnan(value) for value in means(sums).values())
    sums[[LOSS, TOP5, COUNT]] = 3.0, 1.0, 4.0
    assert means(sums) == {"loss": 0.75, "accuracy": 0.0, "top5": 0.25}


def masks(seed: int, step: int, group: int) -> list[bytes]:
    """The dropout masks of two layers, in a model made anew."""
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dropout(0.5), keras.layers.Dropout(0.5)])
    streams = GroupStreams(model, seed)
    ones = tf.ones((1, 64))

    @tf.function
    def draw(step: tf.Tensor, group: tf.Tensor) -> list[tf.Tensor]:
        streams.set(step, group)
        return [layer(ones, training=True) for layer in model.layers]

    return [
        mask.numpy().tobytes() for mask in draw(tf.constant(step, tf.int64), tf.constant(group, tf.int64))
    ]


def test_masks_are_functions_of_seed_step_and_group() -> None:
    assert masks(1, 2, 3) == masks(1, 2, 3)
    others = [masks(1, 2, 3), masks(2, 2, 3), masks(1, 3, 3), masks(1, 2, 4), masks(1, 3, 2), masks(1, 0, 5)]
    assert len({mask for pair in others for mask in pair}) == 2 * len(others)
