"""Noise as functions and around Keras' own objects: moments, closed forms, and what stays as it was."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import horovod_lb as hlb
from horovod_lb.noise import deviation, noisy_labels, normal
from horovod_lb.training.loss import cross_entropy

MANY = 40_000


def same(found: Any, expected: Any) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


# Gaussian numbers


def test_normal_numbers_are_normal_and_functions_of_their_arguments() -> None:
    first = np.asarray(normal((MANY,), 7, 1, 0, 3))
    for power, moment in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)):
        assert np.mean(first**power) == pytest.approx(moment, abs=0.06 * power)
    np.testing.assert_array_equal(first, normal((MANY,), 7, 1, 0, 3))
    graph = tf.function(lambda step: normal((MANY,), 7, 1, 0, step))
    np.testing.assert_array_equal(first, graph(tf.constant(3, tf.int64)))
    for other in ((8, 1, 0, 3), (7, 2, 0, 3), (7, 1, 1, 3), (7, 1, 0, 4), (7, 1, 0, 4 + 2**20)):
        assert abs(np.corrcoef(first, normal((MANY,), *other))[0, 1]) < 0.02, other


@pytest.mark.parametrize("decay", [0.0, 0.55, 1.0])
def test_the_deviation_decays_as_the_paper_says(decay: float) -> None:
    for step in (0, 1, 99):
        assert float(deviation(0.3, decay, step)) ** 2 == pytest.approx(0.09 / (1 + step) ** decay, rel=1e-5)


# Labels


def test_each_label_depends_on_its_position_alone() -> None:
    labels = np.random.default_rng(0).integers(0, 10, 500)
    whole = noisy_labels(labels, 10, 0.4, seed=3, step=5)
    for cut in (0, 1, 137, 500):
        parts = [
            noisy_labels(labels[:cut], 10, 0.4, 3, 5),
            noisy_labels(labels[cut:], 10, 0.4, 3, 5, first=cut),
        ]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert not np.array_equal(whole, noisy_labels(labels, 10, 0.4, 3, 6))
    assert not np.array_equal(whole, noisy_labels(labels, 10, 0.4, 4, 5))
    np.testing.assert_array_equal(noisy_labels(labels, 10, 0.0, 3, 5), labels)


def test_labels_are_replaced_by_any_class_with_the_probability_given() -> None:
    labels = np.full(MANY, 2)
    found = noisy_labels(labels, 4, 0.3, seed=0, step=0)
    expected = np.array([0.3 / 4, 0.3 / 4, 0.7 + 0.3 / 4, 0.3 / 4])
    np.testing.assert_allclose(np.bincount(found, minlength=4) / MANY, expected, atol=0.01)
    assert found.dtype == np.int64
    replaced = np.bincount(noisy_labels(labels, 4, 1.0, 0, 0), minlength=4) / MANY
    np.testing.assert_allclose(replaced, 0.25, atol=0.01)


def test_the_expected_loss_is_that_of_label_smoothing() -> None:
    stream = np.random.default_rng(1)
    logits = tf.constant(3 * stream.normal(size=(1, 5)), tf.float32)
    labels = noisy_labels(np.full(MANY, 1), 5, 0.6, seed=0, step=0)
    noisy = cross_entropy(tf.constant(labels), tf.repeat(logits, MANY, 0)).numpy()
    smoothed = float(cross_entropy(tf.constant([1]), logits, smoothing=0.6)[0])
    assert noisy.mean() == pytest.approx(smoothed, abs=float(4 * noisy.std() / MANY**0.5))


@pytest.mark.parametrize(("classes", "probability", "name"), [(10, 1.1, "probability"), (0, 0.1, "classes")])
def test_labels_refuse(classes: int, probability: float, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        noisy_labels(np.zeros(3, np.int64), classes, probability, 0, 0)


# Weights


def test_weights_are_moved_by_the_deviation_and_come_back_to_the_bit() -> None:
    values = [np.random.default_rng(0).normal(size=(200, 100)).astype("float32"), np.float32(1e-3)]
    variables = [keras.Variable(value) for value in values]
    noise = hlb.WeightNoise(variables, 0.5, seed=1)
    compiled = tf.function(noise.move)
    compiled(tf.constant(4, tf.int64))
    moved = [v.numpy() for v in variables]
    same(noise.saved, values)
    step = moved[0] - values[0]
    assert step.std() == pytest.approx(0.5, rel=0.02)
    assert step.mean() == pytest.approx(0, abs=0.02)
    noise.restore()
    same(variables, values)
    again = hlb.WeightNoise(variables, 0.5, seed=1)
    again.move(4)
    same(variables, moved)


# Gradients


def moved(optimizer: Any, gradients: list[Any], start: Any = 0.0) -> list[np.ndarray]:
    """What each step adds to one variable."""
    shape = gradients[0].shape
    variable = keras.Variable(np.full(shape, start, "float32"))
    optimizer.build([variable])
    places = [variable.numpy()]
    for gradient in gradients:
        optimizer.apply([gradient], [variable])
        places.append(variable.numpy())
    return [after - before for before, after in itertools.pairwise(places)]


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_the_noise_on_gradients_is_fresh_and_decays(decay: float) -> None:
    gradient = tf.fill([MANY], 2.0)
    steps = moved(hlb.GradientNoise(keras.optimizers.SGD(0.5), 0.4, decay), [gradient] * 4)
    for number, step in enumerate(steps):
        noise = step / -0.5 - 2.0
        assert noise.std() == pytest.approx(0.4 / (1 + number) ** (decay / 2), rel=0.02)
        assert noise.mean() == pytest.approx(0, abs=0.01)
    assert abs(np.corrcoef(steps[0], steps[1])[0, 1]) < 0.02


def test_clipping_and_decay_come_after_the_noise() -> None:
    """A gradient of noise alone is clipped to length 1; the decoupled decay sees none of it."""
    inner = keras.optimizers.SGD(0.1, global_clipnorm=1.0, weight_decay=0.5)
    (step,) = moved(hlb.GradientNoise(inner, 3.0), [tf.zeros([50])], start=2.0)
    assert np.linalg.norm(step + 0.1 * 0.5 * 2.0) == pytest.approx(0.1, rel=1e-4)


@pytest.mark.parametrize("scale", [None, 1024.0])
def test_a_loss_scale_does_not_scale_the_noise(scale: float | None) -> None:
    from horovod_lb.distributed.loss_scale import FixedLossScale

    noisy = hlb.GradientNoise(keras.optimizers.SGD(1.0), 0.25, seed=5)
    wrap = keras.optimizers.LossScaleOptimizer if scale is None else lambda o: FixedLossScale(o, scale)
    factor = 2.0**15 if scale is None else scale
    (step,) = moved(wrap(noisy), [tf.fill([100], 3.0 * factor)])
    (plain,) = moved(hlb.GradientNoise(keras.optimizers.SGD(1.0), 0.25, seed=5), [tf.fill([100], 3.0)])
    np.testing.assert_array_equal(step, plain)


def test_variables_without_a_gradient_and_with_slices() -> None:
    """None gets no noise; rows of an embedding get it in every row."""
    rows, other = keras.Variable(np.zeros((6, 500), "float32")), keras.Variable(np.ones(3, "float32"))
    optimizer = hlb.GradientNoise(keras.optimizers.SGD(1.0), 0.1)
    slices = tf.IndexedSlices(tf.ones((2, 500)), tf.constant([1, 1]), tf.constant([6, 500]))
    optimizer.build([rows, other])
    optimizer.apply([slices, None], [rows, other])
    np.testing.assert_array_equal(other.numpy(), 1.0)
    np.testing.assert_allclose(rows.numpy().mean(1), [0, -2, 0, 0, 0, 0], atol=0.02)
    np.testing.assert_allclose(rows.numpy().std(1), 0.1, rtol=0.1)


@pytest.mark.parametrize("kind", ["noise", "fixed"])
def test_a_saved_model_goes_on_as_if_nothing_had_happened(kind: str, tmp_path: Path) -> None:
    from horovod_lb.distributed.loss_scale import FixedLossScale

    inner = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer = hlb.GradientNoise(inner, 0.3, 0.5, 4) if kind == "noise" else FixedLossScale(inner, 64.0)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile(optimizer, "mse")
    x, y = np.random.default_rng(0).normal(size=(2, 8, 4)).astype("float32")
    model.fit(x, y[:, :3], verbose=0, batch_size=4, shuffle=False)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.optimizer.get_config() == optimizer.get_config()
    for each in (model, again):
        each.fit(x, y[:, :3], verbose=0, batch_size=4, shuffle=False)
    same(again.get_weights(), model.get_weights())


@pytest.mark.parametrize(("option", "value"), [("stddev", -0.1), ("stddev", np.nan), ("decay", -1)])
def test_noise_refuses(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option):
        hlb.GradientNoise("sgd", **{"stddev": 0.1, option: value})


def test_a_fixed_scale_skips_what_is_not_finite_and_stays() -> None:
    from horovod_lb.distributed.loss_scale import FixedLossScale

    optimizer = FixedLossScale(keras.optimizers.SGD(1.0), 128.0)
    steps = moved(optimizer, [tf.fill([2], 128.0), tf.constant([1.0, np.inf]), tf.fill([2], 256.0)])
    np.testing.assert_array_equal(steps, [[-1, -1], [0, 0], [-2, -2]])
    assert int(optimizer.iterations) == 2
    assert float(optimizer.scale_loss(1.0)) == 128.0
    with pytest.raises(ValueError, match="scale"):
        FixedLossScale(keras.optimizers.SGD(1.0), 0.0)


# Activations


def chain() -> keras.Model:
    """Two layers that put out what comes in, and a last one that adds up."""
    keras.utils.set_random_seed(0)
    one = keras.initializers.Identity()
    layers = [keras.layers.Dense(400, kernel_initializer=one) for _ in range(2)]
    return keras.Sequential([keras.Input((400,)), *layers, keras.layers.Dense(1, kernel_initializer="ones")])


def functional() -> keras.Model:
    inner = chain()
    inputs = keras.Input((400,))
    trunk = keras.Sequential(inner.layers[:2])
    return keras.Model(inputs, keras.layers.Activation("linear")(inner.layers[2](trunk(inputs))))


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.head = keras.Sequential(chain().layers[:2]), chain().layers[2]

    def call(self, inputs: Any, training: Any = None) -> Any:
        return self.head(self.trunk(inputs, training=training))


MODELS = {"sequential": chain, "functional": functional, "subclassed": Subclassed}


@pytest.mark.parametrize("kind", MODELS)
def test_hidden_layers_get_independent_noise_in_training_alone(kind: str) -> None:
    """The sum of 400 outputs with two noises of deviation σ has the deviation σ√800; the last has none."""
    model, x = MODELS[kind](), np.ones((2000, 400), "float32")
    plain = model(x).numpy()
    paths = [variable.path for variable in model.variables]
    with hlb.ActivationNoise(model, 0.1, seed=1) as noise:
        np.testing.assert_array_equal(model(x, training=False), plain)
        eager = model(x, training=True).numpy() - plain
        graph = tf.function(lambda z: model(z, training=True))(x).numpy() - plain
    assert len(noise.layers) == len(noise.states) == 2
    for found in (eager, graph):
        assert found.std() == pytest.approx(0.1 * 800**0.5, rel=0.06)
        assert found.mean() == pytest.approx(0.0, abs=0.3)
    assert abs(np.corrcoef(eager[:, 0], graph[:, 0])[0, 1]) < 0.08
    np.testing.assert_array_equal(model(x, training=True), plain)
    assert [variable.path for variable in model.variables] == paths


def test_the_model_is_as_before_also_after_an_error() -> None:
    model = chain()
    config = model.get_config()
    with pytest.raises(RuntimeError), hlb.ActivationNoise(model, 0.5):
        raise RuntimeError
    assert model.get_config() == config
    assert all("call" not in vars(layer) for layer in model.layers)


def test_normalization_has_noise_and_layers_without_weights_have_none() -> None:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(2, 3, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(3, name="logits"),
            layers.Softmax(),
        ]
    )
    assert [layer.name for layer in hlb.ActivationNoise(model, 0.1).layers] == ["conv", "norm"]
    other = hlb.ActivationNoise(model, 0.1, last=model.get_layer("conv"))
    assert [layer.name for layer in other.layers] == ["norm", "logits"]


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_stays_half(precision: str) -> None:
    keras.config.set_dtype_policy(precision)
    try:
        model = chain()
    finally:
        keras.config.set_dtype_policy("float32")
    with hlb.ActivationNoise(model, 0.1):
        noisy = model(np.ones((4, 400), "float32"), training=True)
    assert noisy.dtype == precision.removeprefix("mixed_")
    assert 0.5 < np.std(np.asarray(noisy, "float32")) < 12


def test_in_fit_validation_is_without_noise() -> None:
    """At a rate of 0 the loss while training is that of the noise, σ²·800 about 8, and validation's is 0."""
    model, x = chain(), np.full((512, 400), 0.5, "float32")
    model.compile(keras.optimizers.SGD(0.0), "mse")
    y = np.full((512, 1), 200.0, "float32")
    with hlb.ActivationNoise(model, 0.1, seed=2):
        history = model.fit(x, y, validation_data=(x, y), verbose=0).history
    assert history["loss"][0] == pytest.approx(8.0, rel=0.2)
    assert history["val_loss"][0] == pytest.approx(0.0, abs=1e-5)
