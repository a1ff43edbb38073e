"""Ghost and synchronized batch normalization against independent layers, one a group, and NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from horovod_lb.layers import GhostBatchNormalization, SyncBatchNormalization

SHAPES = [(12, 3), (12, 4, 5, 3), (13, 2, 2, 4), (5, 7, 2)]


def batch(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(2.0, 3.0, shape)
    return (values + np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))).astype(np.float32)


def with_random_weights(layer: Any, channels: int) -> Any:
    rng = np.random.default_rng(1)
    layer.gamma.assign(rng.normal(1, 0.3, channels))
    layer.beta.assign(rng.normal(0, 0.5, channels))
    return layer


def built(layer: Any, shape: tuple[int, ...]) -> Any:
    layer.build((None, *shape[1:]))
    return with_random_weights(layer, shape[layer.axis])


@pytest.mark.parametrize("group_size", [1, 4, 5, 12, 100])
@pytest.mark.parametrize("shape", SHAPES)
def test_ghost_is_one_layer_a_group(shape: tuple[int, ...], group_size: int) -> None:
    """Outputs and gradients of independent layers on the groups; moving averages of their weighted mean."""
    x = tf.constant(batch(shape))
    ghost = built(GhostBatchNormalization(group_size, momentum=0.9), shape)
    upstream = tf.constant(np.random.default_rng(2).normal(size=shape).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = ghost(x, training=True)
        loss = tf.reduce_sum(y * upstream)
    gradients = tape.gradient(loss, [x, *ghost.trainable_variables])

    outputs, expected, means, variances = [], [], [], []
    for start in range(0, shape[0], group_size):
        part = slice(start, start + group_size)
        alone = built(keras.layers.BatchNormalization(momentum=0.0), shape)
        with tf.GradientTape() as tape:
            piece = tf.constant(x[part])
            tape.watch(piece)
            output = alone(piece, training=True)
            loss = tf.reduce_sum(output * upstream[part])
        expected.append(tape.gradient(loss, [piece, *alone.trainable_variables]))
        outputs.append(output)
        means.append(alone.moving_mean.numpy() * len(piece))
        variances.append(alone.moving_variance.numpy() * len(piece))
    np.testing.assert_allclose(y, np.concatenate(outputs), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gradients[0], np.concatenate([g[0] for g in expected]), rtol=2e-3, atol=2e-4)
    for index in (1, 2):
        total = np.sum([g[index] for g in expected], axis=0)
        np.testing.assert_allclose(gradients[index], total, rtol=1e-3, atol=1e-3)
    mean, variance = np.sum(means, axis=0) / shape[0], np.sum(variances, axis=0) / shape[0]
    np.testing.assert_allclose(ghost.moving_mean, 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(ghost.moving_variance, 0.9 + 0.1 * variance, rtol=1e-5)


def test_a_ghost_of_the_whole_batch_is_batch_normalization() -> None:
    x = batch((12, 4, 5, 3))
    ghost = built(GhostBatchNormalization(12), x.shape)
    plain = built(keras.layers.BatchNormalization(), x.shape)
    np.testing.assert_allclose(ghost(x, training=True), plain(x, training=True), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ghost(x, training=False), plain(x, training=False), rtol=1e-6)
    for ours, theirs in zip(ghost.variables, plain.variables, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("unbiased", [False, True])
def test_the_new_variance_with_and_without_the_factor_of_bessel(unbiased: bool) -> None:
    x = batch((6, 2, 3))
    ghost = built(GhostBatchNormalization(4, momentum=0.0, unbiased=unbiased), x.shape)
    ghost(x, training=True)
    ddof = int(unbiased)
    parts = [(x[:4], 4), (x[4:], 2)]
    expected = sum(part.var(axis=(0, 1), ddof=ddof, dtype=np.float64) * size for part, size in parts) / 6
    np.testing.assert_allclose(ghost.moving_variance, expected, rtol=1e-5)
    one = built(GhostBatchNormalization(1, momentum=0.0, unbiased=unbiased), (6, 3))
    one(x[:, 0], training=True)
    np.testing.assert_allclose(one.moving_variance, 0, atol=1e-12)


def test_another_axis_and_the_graph_with_a_batch_of_any_size() -> None:
    x = batch((7, 3, 4, 4))
    first = built(GhostBatchNormalization(3, axis=1), x.shape)
    last = built(GhostBatchNormalization(3), (7, 4, 4, 3))
    moved = np.moveaxis(x, 1, -1)
    np.testing.assert_allclose(
        np.moveaxis(first(x, training=True), 1, -1), last(moved, training=True), rtol=1e-5, atol=1e-5
    )
    traced = tf.function(
        lambda values: last(values, training=True),
        input_signature=[tf.TensorSpec([None, 4, 4, 3])],
        autograph=False,
    )
    for size in (7, 3, 2):
        np.testing.assert_allclose(
            traced(moved[:size]), last(moved[:size], training=True), rtol=1e-5, atol=1e-5
        )


def test_statistics_of_half_precision_are_computed_in_float32() -> None:
    x = (batch((64, 8, 8, 2)) + 200).astype(np.float16)
    layer = built(GhostBatchNormalization(16, dtype="mixed_float16", momentum=0.0), x.shape)
    y = layer(x, training=True)
    assert y.dtype == tf.float16
    groups = x.astype(np.float64).reshape(4, -1, 2)
    np.testing.assert_allclose(layer.moving_mean, groups.mean(1).mean(0), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, groups.var(1).mean(0), rtol=1e-3)


@pytest.mark.parametrize(
    "layer",
    [
        GhostBatchNormalization(5, momentum=0.7, unbiased=True, gamma_initializer="zeros", name="g"),
        SyncBatchNormalization(momentum=0.7, scale=False, name="s"),
    ],
    ids=["ghost", "sync"],
)
def test_saved_and_loaded_they_are_the_same(layer: Any, tmp_path: Path) -> None:
    x = batch((11, 4))
    model = keras.Sequential([keras.Input((4,)), layer, keras.layers.Dense(2)])
    model(x, training=True)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.layers[0].get_config() == layer.get_config()
    for training in (False, True):
        np.testing.assert_array_equal(model(x, training=training), loaded(x, training=training))
    for ours, theirs in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GhostBatchNormalization(0), "group_size must be a whole number >= 1, not 0"),
        (lambda: GhostBatchNormalization(2.5), "group_size must be a whole number >= 1, not 2.5"),
        (lambda: GhostBatchNormalization(2, momentum=1.5), r"momentum must be in \[0, 1\], not 1.5"),
        (lambda: SyncBatchNormalization(epsilon=-1.0), "epsilon must be a number >= 0, not -1.0"),
        (lambda: SyncBatchNormalization(renorm=True), "renorm is not for this layer"),
        (lambda: GhostBatchNormalization(2)(batch((4, 3)), mask=np.ones(4)), "masks are not for this layer"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_alone_sync_is_batch_normalization_also_far_from_zero() -> None:
    x = batch((12, 4, 5, 3)) + np.float32(4096)
    sync, plain = (
        built(kind(), x.shape) for kind in (SyncBatchNormalization, keras.layers.BatchNormalization)
    )
    np.testing.assert_allclose(sync(x, training=True), plain(x, training=True), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(sync.moving_variance, plain.moving_variance, rtol=1e-4)
