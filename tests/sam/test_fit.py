"""`hlb.SAM` in `model.fit`, one process: against loops of their own, bit for bit where that is due."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import horovod_lb as hlb
from horovod_lb.optimizers import MomentumSGD

N = 24


def data() -> tuple[np.ndarray, np.ndarray]:
    stream = np.random.default_rng(8)
    x = stream.normal(size=(N, 5)).astype("float32")
    return x, (x @ stream.normal(size=(5, 3))).argmax(1)


def plain() -> Any:
    keras.utils.set_random_seed(3)
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(7, "tanh"), keras.layers.Dense(3)])


def rich() -> Any:
    """Batch norm, dropout, noise, a regularizer."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(16, kernel_regularizer=keras.regularizers.L2(0.01)),
            layers.BatchNormalization(momentum=0.7),
            layers.ReLU(),
            layers.Dropout(0.4),
            layers.GaussianNoise(0.3),
            layers.Dense(3),
        ]
    )


def compiled(model: Any, optimizer: Any) -> Any:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def fit(model: Any, epochs: int = 2) -> Any:
    x, y = data()
    return model.fit(x, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0)


def values(variables: Any) -> list[np.ndarray]:
    return [variable.numpy().copy() for variable in variables]


def equal(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


BASES: dict[str, Callable[[], Any]] = {
    "sgd": lambda: keras.optimizers.SGD(0.1),
    "momentum": lambda: MomentumSGD(0.1),
    "adam": lambda: keras.optimizers.Adam(0.03),
}


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("base", BASES)
def test_any_optimizer_against_a_loop(base: str, adaptive: bool) -> None:
    """The loop: gradient, ε in NumPy, gradient of a second network that has w + ε, Keras' own step."""
    rho = 0.4
    model = compiled(hlb.SAM(plain(), rho, adaptive=adaptive), BASES[base]())
    fit(model)

    one, other, optimizer = plain(), plain(), BASES[base]()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    x, y = data()

    def gradients(network: Any, rows: slice) -> list[np.ndarray]:
        with tf.GradientTape() as tape:
            value = loss(y[rows], network(x[rows]))
        return [g.numpy().astype("float64") for g in tape.gradient(value, network.trainable_variables)]

    for start in [0, 8, 16] * 2:
        rows = slice(start, start + 8)
        g = gradients(one, rows)
        w = [v.numpy().astype("float64") for v in one.trainable_variables]
        t = [np.abs(v) if adaptive else np.ones_like(v) for v in w]
        length = np.sqrt(sum(((a * b) ** 2).sum() for a, b in zip(t, g, strict=True)))
        other.set_weights([a + rho * b * b * c / length for a, b, c in zip(w, t, g, strict=True)])
        optimizer.apply([tf.constant(g, tf.float32) for g in gradients(other, rows)], one.trainable_variables)
    for found, expected in zip(values(model.trainable_variables), one.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


class Quadratic(keras.layers.Layer):
    """½xᵀAx of its weight x, for each example."""

    def __init__(self, a: np.ndarray, start: np.ndarray) -> None:
        super().__init__()
        self.a = tf.constant(a, tf.float32)
        self.point = self.add_weight(shape=start.shape, initializer=lambda shape, dtype: tf.constant(start))

    def call(self, inputs: Any) -> Any:
        x = self.point.value
        return 0.5 * tf.tensordot(x, tf.linalg.matvec(self.a, x), 1) + 0.0 * inputs


def test_a_quadratic_in_closed_form() -> None:
    root = np.random.default_rng(1).normal(size=(4, 4))
    a, rho, rate, m = root @ root.T, 0.2, 0.01, 0.9
    x = np.array([1.0, -2.0, 0.5, 3.0])
    layer = Quadratic(a, x.astype("float32"))
    model = hlb.SAM(keras.Sequential([keras.Input((1,)), layer]), rho)
    model.compile(keras.optimizers.SGD(rate, momentum=m), loss=lambda y, output: output)
    model.fit(np.zeros((10, 1)), np.zeros((10, 1)), batch_size=1, verbose=0, shuffle=False)
    v = np.zeros(4)
    for _ in range(10):
        v = m * v - rate * a @ (x + rho * (a @ x) / np.linalg.norm(a @ x))
        x = x + v
    np.testing.assert_allclose(layer.point.numpy(), x, rtol=1e-5, atol=1e-6)


def test_at_rho_zero_it_is_the_plain_training_to_the_bit() -> None:
    """So both passes have the masks that plain training draws, and draw them once."""
    sharp, reference = compiled(hlb.SAM(rich(), 0.0), BASES["sgd"]()), compiled(rich(), BASES["sgd"]())
    histories = fit(sharp).history, fit(reference).history
    equal(values(sharp.model.variables), values(reference.variables))
    assert histories[0] == histories[1]


def test_statistics_and_masks_are_those_of_one_plain_pass() -> None:
    """One step with a large ρ: moving statistics and generators are where a plain step leaves them."""
    sharp, reference = compiled(hlb.SAM(rich(), 2.0), BASES["sgd"]()), compiled(rich(), BASES["sgd"]())
    x, y = data()
    for model in (sharp, reference):
        model.train_on_batch(x, y)
    found, expected = sharp.model.non_trainable_variables, reference.non_trainable_variables
    assert len(expected) == 4  # two moving averages, two generators
    equal(values(found), values(expected))
    moved = zip(sharp.model.trainable_variables, reference.trainable_variables, strict=True)
    assert any(not np.array_equal(a, b) for a, b in moved)


def test_the_weights_come_back_to_the_bit() -> None:
    """At rate 0, with a ρ in whose sums w + ε most digits of w are lost."""
    model = compiled(hlb.SAM(plain(), 1e6), keras.optimizers.SGD(0.0))
    before = values(model.trainable_variables)
    fit(model)
    assert int(model.optimizer.iterations) == 6
    equal(values(model.trainable_variables), before)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_batch_that_is_not_finite_is_skipped(wrapped: bool) -> None:
    hlb.init()
    optimizer = BASES["adam"]()
    model = compiled(hlb.SAM(plain(), 0.1), hlb.DistributedOptimizer(optimizer) if wrapped else optimizer)
    x, y = data()
    model.train_on_batch(x, y)
    before = values([*model.trainable_variables, *model.optimizer.variables])
    broken = x.copy()
    broken[0, 0] = np.nan
    model.train_on_batch(broken, y)
    equal(values([*model.trainable_variables, *model.optimizer.variables]), before)
    model.train_on_batch(x, y)
    assert int(model.optimizer.iterations) == 2
    assert not np.array_equal(model.trainable_variables[0].numpy(), before[0])


def test_no_gradient_no_perturbation() -> None:
    """A dead ReLU in front of zeros: nothing but its own decay moves a weight, and nothing becomes NaN."""
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, "relu"), keras.layers.Dense(1)])
    for variable in model.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    model = hlb.SAM(model, 0.5)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.train_on_batch(data()[0], np.zeros((N, 1)))
    assert int(model.optimizer.iterations) == 1
    equal(values(model.trainable_variables), [np.zeros(v.shape) for v in model.trainable_variables])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy: str) -> None:
    """Near the float32 result; and in float16 an overflow skips the step and halves the scale."""
    expected = compiled(hlb.SAM(plain(), 0.2), BASES["sgd"]())
    fit(expected)
    keras.config.set_dtype_policy(policy)
    try:
        model = compiled(hlb.SAM(plain(), 0.2), BASES["sgd"]())
    finally:
        keras.config.set_dtype_policy("float32")
    fit(model)
    for found, other in zip(model.trainable_variables, expected.trainable_variables, strict=True):
        assert found.dtype == "float32"
        np.testing.assert_allclose(found.numpy(), other.numpy(), atol=0.02)
    assert int(model.optimizer.iterations) == 6
    if policy == "mixed_float16":
        before, scale = values(model.trainable_variables), float(model.optimizer.dynamic_scale)
        x, y = data()
        model.train_on_batch(1e6 * x, y)
        equal(values(model.trainable_variables), before)
        assert float(model.optimizer.dynamic_scale) == scale / 2


@pytest.mark.parametrize("scale", [2.0, 2.0**100])
def test_the_loss_scale_does_not_matter(scale: float) -> None:
    """Powers of two change no bit; 2^100 leaves no room for squares of scaled gradients."""
    plainly = compiled(hlb.SAM(plain(), 0.2), keras.optimizers.SGD(0.1))
    scaled = compiled(hlb.SAM(plain(), 0.2), keras.optimizers.SGD(0.1, loss_scale_factor=scale))
    fit(plainly)
    fit(scaled)
    equal(values(scaled.trainable_variables), values(plainly.trainable_variables))


def test_saved_and_loaded_it_goes_on(tmp_path: Path) -> None:
    whole = compiled(hlb.SAM(plain(), 0.3, adaptive=True, group="global"), BASES["adam"]())
    fit(whole, 3)
    part = compiled(hlb.SAM(plain(), 0.3, adaptive=True, group="global"), BASES["adam"]())
    fit(part, 1)
    part.save(tmp_path / "half.keras")
    resumed = keras.saving.load_model(tmp_path / "half.keras")
    assert (resumed.rho, resumed.adaptive, resumed.group) == (0.3, True, "global")
    fit(resumed, 2)
    equal(values(resumed.trainable_variables), values(whole.trainable_variables))
    resumed.model.save(tmp_path / "model.keras")
    alone = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(alone(data()[0]), resumed(data()[0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rho": -0.1}, "rho must be a number >= 0, not -0.1"),
        ({"rho": float("nan")}, "rho must be a number >= 0"),
        ({"rho": float("inf")}, "rho must be a number >= 0"),
        ({"group": "rank"}, "group is one of worker, global, not 'rank'"),
    ],
)
def test_bad_parameters_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hlb.SAM(plain(), **options)
