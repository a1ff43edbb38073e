"""The networks: shapes and parameters from the paper's arithmetic, seeds, precision."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from horovod_lb import models
from horovod_lb.errors import RequestError

IMAGES = {
    "lenet5": (28, 28, 1),
    "lenet_large": (28, 28, 1),
    "cnn2": (28, 28, 1),
    "digits_cnn": (8, 8, 1),
    "resnet20": (16, 16, 3),
}


@pytest.fixture(params=sorted(IMAGES))
def name(request: pytest.FixtureRequest) -> str:
    """Every kind of network; the other residual ones are built by the same lines, see test_resnets."""
    return request.param


def build(name: str, **options: Any) -> keras.Model:
    return models.build(name, shape=IMAGES[name], **options)


def test_lenet5_has_the_layers_of_the_paper() -> None:
    model = models.build("lenet5")
    assert [(layer.name, layer.output.shape[1:], layer.count_params()) for layer in model.layers] == [
        ("conv1", (28, 28, 6), 6 * (5 * 5 + 1)),
        ("pool1", (14, 14, 6), 0),
        ("conv2", (10, 10, 16), 16 * (6 * 5 * 5 + 1)),
        ("pool2", (5, 5, 16), 0),
        ("flatten", (400,), 0),
        ("dense1", (120,), 120 * (400 + 1)),
        ("dense2", (84,), 84 * (120 + 1)),
        ("logits", (10,), 10 * (84 + 1)),
    ]
    assert model.count_params() == 61_706
    assert all(layer.activation is keras.activations.relu for layer in model.layers if "dense" in layer.name)
    assert all(layer.activation is keras.activations.relu for layer in model.layers if "conv" in layer.name)
    assert models.build("lenet5", classes=3).output_shape == (None, 3)


def test_lenet5_sees_the_image_padded_to_32() -> None:
    """The first layer is the valid 5 x 5 convolution of the zero-padded image."""
    model = models.build("lenet5")
    image = np.random.default_rng(0).random((2, 28, 28, 1), dtype=np.float32)
    kernel, bias = (np.asarray(v) for v in model.get_layer("conv1").weights)
    padded = np.pad(image, ((0, 0), (2, 2), (2, 2), (0, 0)))
    assert padded.shape == (2, 32, 32, 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded[..., 0], (5, 5), axis=(1, 2))
    expected = np.maximum(np.einsum("nijab,abf->nijf", windows, kernel[:, :, 0]) + bias, 0)
    np.testing.assert_allclose(model.get_layer("conv1")(image), expected, atol=1e-5)


def test_the_larger_networks_for_mnist_have_the_published_numbers_of_parameters() -> None:
    """3,274,634: TensorFlow's official MNIST model; 34,826: Keras' small MNIST example."""
    large = [32 * (25 + 1), 64 * (25 * 32 + 1), 1024 * (7 * 7 * 64 + 1), 10 * (1024 + 1)]
    small = [32 * (9 + 1), 64 * (9 * 32 + 1), 10 * (5 * 5 * 64 + 1)]
    for name, counts, total in (("lenet_large", large, 3_274_634), ("cnn2", small, 34_826)):
        model = models.build(name)
        assert [layer.count_params() for layer in model.layers if layer.weights] == counts
        assert model.count_params() == sum(counts) == total


def test_digits_cnn_shapes() -> None:
    model = models.build("digits_cnn")
    assert [layer.count_params() for layer in model.layers] == [
        16 * (3 * 3 + 1),
        32 * (16 * 3 * 3 + 1),
        0,
        0,
        32 * (4 * 4 * 32 + 1),
        10 * (32 + 1),
    ]
    assert model.output_shape == (None, 10)


def test_the_seed_decides_the_weights(name: str) -> None:
    def weights(seed: int) -> list[np.ndarray]:
        keras.utils.set_random_seed(seed)
        return build(name).get_weights()

    first = weights(1)
    build(name)
    again, other = weights(1), weights(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    kernels = [i for i, w in enumerate(first) if w.ndim > 1]
    assert kernels and not any(np.array_equal(first[i], other[i]) for i in kernels)


def test_variables_have_the_same_paths_in_every_build(name: str) -> None:
    paths = [[v.path for v in build(name).trainable_variables] for _ in range(2)]
    assert paths[0] == paths[1]
    assert len(set(paths[0])) == len(paths[0])


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_logits_and_variables_are_float32_in_any_precision(name: str, policy: str) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = build(name)
        logits = model(np.zeros((2, *IMAGES[name]), np.float32))
    finally:
        keras.config.set_dtype_policy(before)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    assert model.layers[0].compute_dtype == policy.removeprefix("mixed_")


def test_outputs_are_logits(name: str) -> None:
    model = build(name)
    images = np.random.default_rng(0).random((8, *IMAGES[name]), dtype=np.float32)
    logits = np.asarray(model(images))
    assert (logits < 0).any() and not np.allclose(logits.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "lenet",
            {},
            r"model.name: 'lenet' is not a network \(did you mean lenet5\?\); there are digits_cnn, lenet5, ",
        ),
        (
            "lenet5",
            {"batch_norm": "ghost"},
            r"model.batch_norm: lenet5 has no such option; there are classes",
        ),
        ("lenet5", {"shape": (64,)}, r"lenet5 is for images \[height, width, channels\], not \[64\]"),
        ("lenet5", {"shape": (4, 4, 1)}, r"made for images of \[28, 28, 1\], cannot take \[4, 4, 1\]"),
        ("lenet5", {"clases": 3}, r"model.clases: lenet5 has no such option \(did you mean classes\?\)"),
        ("lenet5", {"depth": 3}, r"model.depth: lenet5 has no such option; there are classes, shape"),
    ],
)
def test_an_unknown_network_or_option_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        models.build(name, **options)
