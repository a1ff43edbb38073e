"""The wrapper as a Keras object, in one process: options, saving, and what it refuses."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import horovod_lb as hlb
from horovod_lb.distributed import GradientReducer
from horovod_lb.errors import DistributedError


@pytest.fixture(scope="module", autouse=True)
def world() -> Any:
    with warnings.catch_warnings():
        # Other tests of this process have used TensorFlow before.
        warnings.simplefilter("ignore")
        return hlb.init()


def test_a_late_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("horovod_lb.distributed.runtime._world", None)
    tf.constant(1.0) + 1.0
    with pytest.warns(UserWarning, match=r"before hlb\.init\(\).*keeps the threads"):
        assert hlb.init(threads=97).threads != 97


def _inner(**options: Any) -> Any:
    return keras.optimizers.Adam(0.01, global_clipnorm=1.0, weight_decay=0.1, use_ema=True, **options)


@pytest.mark.parametrize("steps", [None, 3])
def test_config_round_trip(steps: int | None) -> None:
    inner = _inner(gradient_accumulation_steps=steps)
    wrapped = hlb.DistributedOptimizer(inner, bucket_bytes=1234, compression="fp16", sparse_as_dense=True)
    config = wrapped.get_config()
    again = hlb.DistributedOptimizer.from_config(config)
    assert again.get_config() == config
    assert again.micro_batches == (steps or 1)
    assert (again.reducer.bucket_bytes, again.reducer.compression, again.reducer.sparse_as_dense) == (
        1234,
        "fp16",
        True,
    )
    plain, expected = again.inner_optimizer.get_config(), _inner().get_config()
    assert {k: v for k, v in plain.items() if k != "name"} == {
        k: v for k, v in expected.items() if k != "name"
    }


@pytest.mark.parametrize("steps", [None, 2])
def test_a_compiled_model_is_saved_and_goes_on(tmp_path: Any, steps: int | None) -> None:
    stream = np.random.default_rng(0)
    x, y = stream.normal(size=(16, 3)), stream.normal(size=(16, 2))

    def model() -> Any:
        keras.utils.set_random_seed(1)
        network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        network.compile(hlb.DistributedOptimizer(_inner(gradient_accumulation_steps=steps)), "mse")
        return network

    fit = {"batch_size": 4, "shuffle": False, "verbose": 0}
    whole, part = model(), model()
    whole.fit(x, y, epochs=2, **fit)
    # Three of four micro-batches in: with accumulation a sum is under way.
    part.fit(x, y, epochs=1, **fit)
    part.train_on_batch(x[:4], y[:4])
    part.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(again.optimizer, hlb.DistributedOptimizer)
    for found, expected in zip(again.optimizer.variables, part.optimizer.variables, strict=True):
        np.testing.assert_array_equal(found.numpy(), expected.numpy())
    for other in (part, again):
        other.train_on_batch(x[4:8], y[4:8])
    for found, expected in zip(again.variables, part.variables, strict=True):
        np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_micro_batches_are_no_steps() -> None:
    """The inner optimizer's schedule counts whole steps: the rates of 3 steps, not of 6 micro-batches."""
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0, 1], [1.0, 0.1, 0.01])
    inner = keras.optimizers.SGD(schedule, gradient_accumulation_steps=2)
    optimizer, variable = hlb.DistributedOptimizer(inner), keras.Variable(0.0)
    for _ in range(6):
        optimizer.apply([tf.constant(1.0)], [variable])
    np.testing.assert_allclose(variable.numpy(), -(1.0 + 0.1 + 0.01), rtol=1e-6)
    assert int(optimizer.iterations) == 3


def test_the_learning_rate_is_the_inner_one() -> None:
    optimizer = hlb.DistributedOptimizer("sgd")
    optimizer.learning_rate = 0.25
    assert float(optimizer.inner_optimizer.learning_rate) == 0.25
    assert float(optimizer.learning_rate) == 0.25


def test_half_precision_gets_its_loss_scale_inside() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        optimizer = hlb.DistributedOptimizer(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))
        assert isinstance(optimizer.inner_optimizer, keras.optimizers.LossScaleOptimizer)
        assert optimizer.micro_batches == 2
        assert float(optimizer.scale_loss(tf.constant(2.0))) == 2.0 * 2**15
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.compile(optimizer, "mse")
        assert model.optimizer is optimizer
    finally:
        keras.config.set_dtype_policy("float32")
    assert not hlb.DistributedOptimizer("sgd").scales_loss


def test_wrapping_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="averaged twice"):
        hlb.DistributedOptimizer(hlb.DistributedOptimizer("sgd"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compression": "zip"}, "none, fp16, not 'zip'"),
        ({"bucket_bytes": 0}, "bucket_bytes must be a whole number >= 1, not 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GradientReducer(**options)


def test_synchronize_refuses_a_plain_optimizer() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(), "mse")
    with pytest.raises(DistributedError, match=r"compiled with Adam.*hlb\.DistributedOptimizer"):
        model.fit(np.zeros((4, 3)), np.zeros((4, 2)), verbose=0, callbacks=[hlb.Synchronize()])
