"""Residual networks against published figures, a formula, and the papers' arithmetic written out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from horovod_lb import models
from horovod_lb.errors import RequestError
from horovod_lb.layers import GhostBatchNormalization, SyncBatchNormalization
from horovod_lb.models.shortcut import PaddedShortcut
from horovod_lb.study.networks import NETWORKS

# Trained parameters. 25,557,032: torchvision's resnet50. 23,520,842 and 11,173,962: kuangliu's ResNet50 and
# ResNet18 for CIFAR-10. He et al. 2015, Table 6: 0.27 M, 0.46 M and 0.85 M; exact for option A.
PUBLISHED = {
    "resnet50": 25_557_032,
    "cifar_resnet50": 23_520_842,
    "cifar_resnet18": 11_173_962,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet56": 853_018,
}
LAYOUT = {  # blocks of each stage, first width, bottlenecks, classes
    "resnet50": ([3, 4, 6, 3], 64, True, 1000),
    "cifar_resnet50": ([3, 4, 6, 3], 64, True, 10),
    "cifar_resnet18": ([2, 2, 2, 2], 64, False, 10),
    "resnet20": ([3] * 3, 16, False, 10),
    "resnet32": ([5] * 3, 16, False, 10),
    "resnet56": ([9] * 3, 16, False, 10),
}


def counted(name: str) -> int:
    """By hand: kernels, two parameters of batch norm for every channel of a convolution, the last layer."""
    blocks, width, bottleneck, classes = LAYOUT[name]
    stem = 7 * 7 if name == "resnet50" else 3 * 3
    total, before = stem * 3 * width + 2 * width, width
    for stage, count in enumerate(blocks):
        inner = width * 2**stage
        outer = 4 * inner if bottleneck else inner
        for _ in range(count):
            if bottleneck:
                total += before * inner + 9 * inner * inner + inner * outer + 2 * (2 * inner + outer)
            else:
                total += 9 * before * inner + 9 * inner * inner + 4 * inner
            if before != outer and blocks not in ([3] * 3, [5] * 3, [9] * 3):  # a projection: option B
                total += before * outer + 2 * outer
            before = outer
    return total + before * classes + classes


@pytest.fixture(scope="module")
def built() -> Callable[[str], keras.Model]:
    """Each network once."""
    found: dict[str, keras.Model] = {}

    def get(name: str) -> keras.Model:
        if name not in found:
            keras.utils.set_random_seed(3)
            found[name] = models.build(name)
        return found[name]

    return get


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_parameters_are_the_published_ones(built: Any, name: str) -> None:
    found = sum(int(np.prod(v.shape)) for v in built(name).trainable_variables)
    assert found == PUBLISHED[name] == counted(name)


def test_resnet50_is_v1_5(built: Any) -> None:
    model = built("resnet50")
    assert model.input_shape == (None, 224, 224, 3) and model.output_shape == (None, 1000)
    assert len(model.trainable_variables) == 161
    sides = [56, 28, 14, 7]
    assert model.get_layer("stem").output.shape[1:] == (112, 112, 64)
    assert model.get_layer("stem_pool").output.shape[1:] == (56, 56, 64)
    for stage, (blocks, side) in enumerate(zip([3, 4, 6, 3], sides, strict=True)):
        for block in range(blocks):
            name = f"stage{stage + 1}_block{block + 1}"
            strides = [model.get_layer(f"{name}_conv{number}").strides[0] for number in (1, 2, 3)]
            assert strides == [1, 2 if stage and not block else 1, 1], name
            assert model.get_layer(f"{name}_relu").output.shape[1:] == (side, side, 256 * 2**stage)
    assert not any(layer.use_bias for layer in model.layers if isinstance(layer, keras.layers.Conv2D))


def test_initial_weights_of_resnet50_are_those_of_goyal(built: Any) -> None:
    model = built("resnet50")
    zero = [v.path for v in model.trainable_variables if v.name == "gamma" and not np.any(v)]
    assert zero == [
        f"stage{stage + 1}_block{block + 1}_conv3_norm/gamma"
        for stage, blocks in enumerate([3, 4, 6, 3])
        for block in range(blocks)
    ]
    others = [v for v in model.trainable_variables if v.name == "gamma" and v.path not in zero]
    assert len(others) == 53 - 16 and all(np.all(np.asarray(v) == 1) for v in others)
    logits = model.get_layer("logits")
    np.testing.assert_allclose(np.std(logits.kernel), 0.01, rtol=0.005)
    np.testing.assert_allclose(np.mean(logits.kernel), 0, atol=5e-5)
    assert not np.any(logits.bias)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel = np.asarray(layer.kernel)
            fan_in = np.prod(kernel.shape[:3])
            np.testing.assert_allclose(kernel.std(), np.sqrt(2 / fan_in), rtol=0.03)


@pytest.mark.parametrize("name", ["resnet20", "cifar_resnet18"])
def test_zero_gamma_makes_every_block_its_shortcut(name: str) -> None:
    shape = (16, 16, 3)
    plain = models.build(name, shape=shape)
    assert all(np.any(v) for v in plain.trainable_variables if v.name == "gamma")
    model = models.build(name, shape=shape, zero_gamma=True)
    blocks = sum(LAYOUT[name][0])
    assert sum(v.name == "gamma" and not np.any(v) for v in model.trainable_variables) == blocks
    inner = keras.Model(model.input, [model.get_layer(n).output for n in ("stem_relu", "stage1_block2_relu")])
    stem, after = inner(np.random.default_rng(0).random((2, *shape), "float32"))
    np.testing.assert_array_equal(stem, after)


def forward(model: Any, x: Any, blocks: list[int], bottleneck: bool, large: bool) -> Any:
    """The network's evaluation, from the papers with TensorFlow's bare operations and the model's weights."""
    weights = {v.path: v for v in model.variables}

    def convolution(x: Any, name: str, stride: int = 1) -> Any:
        kernel = weights[f"{name}/kernel"]
        edge = kernel.shape[0] // 2
        x = tf.nn.conv2d(x, kernel, stride, [[0, 0], [edge, edge], [edge, edge], [0, 0]])
        mean, variance, gamma, beta = (
            weights[f"{name}_norm/{part}"] for part in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return (x - mean) / tf.sqrt(variance + 1e-5) * gamma + beta

    x = tf.nn.relu(convolution(x, "stem", 2 if large else 1))
    if large:
        x = tf.nn.max_pool2d(x, 3, 2, [[0, 0], [1, 1], [1, 1], [0, 0]])
    for stage, count in enumerate(blocks):
        for block in range(count):
            name, stride = f"stage{stage + 1}_block{block + 1}", 2 if stage and not block else 1
            if bottleneck:
                branch = tf.nn.relu(convolution(x, f"{name}_conv1"))
                branch = tf.nn.relu(convolution(branch, f"{name}_conv2", stride))
                branch = convolution(branch, f"{name}_conv3")
            else:
                branch = tf.nn.relu(convolution(x, f"{name}_conv1", stride))
                branch = convolution(branch, f"{name}_conv2")
            if f"{name}_shortcut/kernel" in weights:
                x = convolution(x, f"{name}_shortcut", stride)
            elif stride == 2:  # option A
                added = np.zeros((*branch.shape[:3], branch.shape[3] - x.shape[3]), np.float32)
                x = tf.concat(
                    [
                        tf.gather(
                            tf.gather(x, range(0, x.shape[1], 2), axis=1), range(0, x.shape[2], 2), axis=2
                        ),
                        added,
                    ],
                    3,
                )
            x = tf.nn.relu(x + branch)
    x = tf.reduce_mean(x, [1, 2])
    return x @ weights["logits/kernel"] + weights["logits/bias"]


@pytest.mark.parametrize("name", ["resnet50", "cifar_resnet18", "resnet20"])
def test_the_forward_pass_is_that_of_the_papers(name: str) -> None:
    """At small images of odd sides, with weights in which nothing is 0 or 1."""
    shape = (45, 39, 3) if name == "resnet50" else (13, 11, 3)
    model = models.build(name, shape=shape, classes=7)
    rng = np.random.default_rng(0)
    for v in model.variables:
        if v.name in ("gamma", "moving_variance"):
            v.assign(rng.uniform(0.5, 1.5, v.shape))
        elif v.name in ("beta", "moving_mean", "bias"):
            v.assign(rng.normal(0, 0.1, v.shape))
    x = rng.random((3, *shape), "float32")
    blocks, _, bottleneck, _ = LAYOUT[name]
    expected = forward(model, x, blocks, bottleneck, large=name == "resnet50")
    assert np.std(expected) > 1e-3
    np.testing.assert_allclose(model(x, training=False), expected, rtol=1e-3, atol=1e-4 * np.std(expected))


def test_the_words_for_batch_norm_choose_its_layers(tmp_path: Path) -> None:
    """Each kind saved and loaded is the same to the bit, in training too."""
    x = np.random.default_rng(0).random((6, 12, 12, 3), "float32")
    for options, kind in (
        ({}, keras.layers.BatchNormalization),
        ({"batch_norm": "ghost", "group_size": 2}, GhostBatchNormalization),
        ({"batch_norm": "sync"}, SyncBatchNormalization),
        ({"batch_norm": "group"}, SyncBatchNormalization),
    ):
        model = models.build("resnet20", shape=(12, 12, 3), zero_gamma=True, **options)
        norms = [la for la in model.layers if isinstance(la, keras.layers.BatchNormalization)]
        assert len(norms) == 19 and {type(layer) for layer in norms} == {kind}
        assert {(layer.momentum, layer.epsilon) for layer in norms} == {(0.9, 1e-5)}
        assert {getattr(layer, "group_size", 2) for layer in norms} == {2}
        model(x, training=True)
        model.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras")
        for training in (False, True):
            np.testing.assert_array_equal(loaded(x, training=training), model(x, training=training))
        for ours, theirs in zip(model.variables, loaded.variables, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_norm": "gost"}, "batch_norm: 'gost' is not one of plain, ghost, sync, group"),
        ({"batch_norm": "ghost"}, "group_size: needed by batch_norm ghost, and by no other"),
        ({"group_size": 8}, "group_size: needed by batch_norm ghost, and by no other"),
        ({"collective": object()}, "collective: for batch_norm sync and group, not plain"),
    ],
)
def test_words_that_do_not_go_together_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        models.build("resnet20", **options)


def test_a_padded_shortcut_takes_every_second_position_and_adds_zeros() -> None:
    x = np.random.default_rng(0).random((2, 5, 4, 3), "float32")
    layer = PaddedShortcut(5, 2)
    y = np.asarray(layer(x))
    assert y.shape == (2, 3, 2, 5) == tuple(layer.compute_output_shape(x.shape))
    for i, j in itertools.product(range(3), range(2)):
        np.testing.assert_array_equal(y[:, i, j], np.pad(x[:, 2 * i, 2 * j], ((0, 0), (0, 2))))


def test_what_studies_know_of_the_networks_is_what_they_are() -> None:
    assert set(NETWORKS) == set(models.BUILDERS)
    for name, network in NETWORKS.items():
        if name in PUBLISHED and name != "resnet20":
            continue  # built above, by the same lines
        model = models.build(name)
        kinds = [type(layer) for layer in model.layers]
        assert model.input_shape[1:] == network.shape
        assert network.batch_norm == (keras.layers.BatchNormalization in kinds)
        assert network.dropout == next((x.rate for x in model.layers if hasattr(x, "rate")), None)
        assert (network.zero_gamma is None) == (keras.layers.Add not in kinds)
