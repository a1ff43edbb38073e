"""State before the first step, the self-test of the weights, and metrics over unequal parts."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from rank_checks import Here, ranks

import horovod_lb as hlb
from horovod_lb.data import load
from horovod_lb.distributed import check_identical, reduce_metrics
from horovod_lb.distributed.broadcast import broadcast_variables
from horovod_lb.errors import DistributedError
from horovod_lb.training.evaluate import Evaluation


def _model(seed: int) -> Any:
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(5, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3),
        ]
    )


def _disturb(variables: Any, rank: int) -> None:
    for variable in variables:
        value = np.asarray(variable)
        variable.assign((value + 3 * rank + 1).astype(value.dtype))


@ranks(2, 3)
def check_broadcast_before_the_first_step(here: Here) -> None:
    """Other weights and another optimizer state on every rank: afterwards all hold rank 0's, to the bit."""
    model = _model(here.rank)
    optimizer = hlb.DistributedOptimizer(keras.optimizers.Adam(0.01))
    model.compile(optimizer)
    optimizer.build(model.trainable_variables)
    _disturb([*model.variables, *optimizer.variables], here.rank)
    everything = [*model.variables, *optimizer.variables]
    expected = here.first([np.asarray(v) for v in everything])
    assert {value.dtype.kind for value in expected} == {"f", "i"}
    hlb.broadcast_state(model)
    for variable, value in zip(everything, expected, strict=True):
        if "seed_generator" in variable.path:
            # Dropout must not draw the same mask on every rank.
            states = here.comm.allgather(np.asarray(variable).tobytes())
            assert len(set(states)) == here.size
            assert states[0] == value.tobytes()
            assert np.asarray(variable).dtype == value.dtype
        else:
            np.testing.assert_array_equal(np.asarray(variable), value)


@ranks(2)
def check_broadcast_of_every_dtype(here: Here) -> None:
    """Values that a detour over float32 would spoil; the last rank is the root."""
    kinds = ("float32", "float64", "float16", "bfloat16", "int8", "int64", "uint32", "uint64", "bool")
    variables = [tf.Variable(tf.cast([here.rank, 1], kind)) for kind in kinds]
    large = tf.Variable(np.array([2**31 + 1, 2**32 - 1 - here.rank], np.uint32))
    huge = tf.Variable(np.array([2**53 + 1 + 2 * here.rank, -(2**62)], np.int64))
    broadcast_variables([*variables, large, huge], root=here.size - 1)
    for kind, variable in zip(kinds, variables, strict=True):
        assert variable.dtype == tf.as_dtype(kind)
        assert tf.cast(variable, tf.int64).numpy().tolist() == [1, 1]
    assert large.numpy().tolist() == [2**31 + 1, 2**32 - 2]
    assert huge.numpy().tolist() == [2**53 + 3, -(2**62)]


@ranks(2, 3)
def check_one_step_from_different_starts(here: Here) -> None:
    """After one step every rank holds what a single process has that began like rank 0."""
    stream = np.random.default_rng(3)
    x = stream.normal(size=(here.size * 4, 6)).astype("float32")
    y = stream.integers(0, 3, here.size * 4)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def network(seed: int) -> Any:
        keras.utils.set_random_seed(seed)
        return keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, "relu"), keras.layers.Dense(3)])

    alone, expected = network(0), None
    plain = keras.optimizers.Adam(0.01)
    plain.build(alone.trainable_variables)
    _disturb(plain.variables[2:], 0)
    with tf.GradientTape() as tape:
        value = loss(y, alone(x))
    plain.apply(tape.gradient(value, alone.trainable_variables), alone.trainable_variables)
    expected = [v.numpy() for v in alone.trainable_variables]

    model = network(here.rank)
    optimizer = hlb.DistributedOptimizer(keras.optimizers.Adam(0.01))
    model.compile(optimizer, loss)
    optimizer.build(model.trainable_variables)
    _disturb(optimizer.inner_optimizer.variables[2:], here.rank)
    mine = slice(here.rank * 4, here.rank * 4 + 4)
    model.fit(x[mine], y[mine], batch_size=4, epochs=1, verbose=0, callbacks=[hlb.Synchronize()])
    here.identical(*(v.numpy() for v in model.trainable_variables))
    for variable, value in zip(model.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-5, atol=1e-6)


@ranks(2, 3, 4)
def check_a_rank_that_differs_is_named(here: Here) -> None:
    model = _model(7)
    check_identical(model.trainable_variables)
    if here.rank == here.size - 1:
        value = model.layers[1].gamma.numpy()
        value[2] = np.nextafter(value[2], np.float32(2))
        model.layers[1].gamma.assign(value)
    name = model.layers[1].gamma.path
    with pytest.raises(DistributedError, match=f"{name}.*on rank {here.size - 1} against rank 0"):
        check_identical(model.trainable_variables, "after step 2")


@ranks(2)
def check_models_of_different_size_are_refused(here: Here) -> None:
    variables = _model(7).trainable_variables[: 4 + here.rank]
    with pytest.raises(DistributedError, match=r"variables by rank \[4, 5\]"):
        check_identical(variables)


@ranks(2, 3)
def check_metrics_count_every_example(here: Here) -> None:
    """Parts of 1, 3, 5, ... examples, against NumPy on all of them."""
    stream = np.random.default_rng(4)
    bounds = np.cumsum([0, *(1 + 2 * rank for rank in range(here.size))])
    logits, labels = stream.normal(size=(bounds[-1], 3)), stream.integers(0, 3, bounds[-1])
    mine = slice(bounds[here.rank], bounds[here.rank + 1])
    model = _model(7)
    model.compile(
        "sgd",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")],
    )
    model.build((None, 6))
    model.evaluate(np.zeros((1, 6), "float32"), np.zeros(1), verbose=0)
    model.reset_metrics()
    loss = -np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))[np.arange(len(labels)), labels]
    model.metrics[0].update_state(loss[mine].mean(), sample_weight=len(loss[mine]))
    model.metrics[1].update_state(labels[mine], logits[mine].astype("float32"))
    before = [np.asarray(v) for v in model.metrics_variables]
    found = reduce_metrics(model)
    ranking = np.argsort(-logits, 1)
    assert found["loss"] == pytest.approx(loss.mean(), rel=1e-5)
    assert found["accuracy"] == pytest.approx((ranking[:, 0] == labels).mean(), rel=1e-6)
    assert found["top2"] == pytest.approx((ranking[:, :2] == labels[:, None]).any(1).mean(), rel=1e-6)
    for variable, value in zip(model.metrics_variables, before, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), value)


@ranks(1, 2, 4)
def check_evaluation_counts_every_example_once(here: Here) -> None:
    """357 digits do not divide by 2 or 4; the accuracy is a whole number of them."""
    data = load({"name": "digits", "root": None, "holdout": 0})
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    found = Evaluation(model, data.info.normalization)(data.val)
    kernel, bias = (v.numpy().astype("float64") for v in model.variables)
    logits = (data.val.x.reshape(357, 64) * data.info.scale) @ kernel + bias
    chosen = logits[np.arange(357), data.val.y]
    assert found["accuracy"] == (logits.argmax(1) == data.val.y).sum() / 357
    assert found["top5"] == ((logits > chosen[:, None]).sum(1) < 5).sum() / 357
    assert found["loss"] == pytest.approx((np.log(np.exp(logits).sum(1)) - chosen).mean(), rel=1e-5)


@ranks(2)
def check_evaluation_with_an_empty_part(here: Here) -> None:
    data = load({"name": "digits", "root": None, "holdout": 0})
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    one = type(data.val)(data.val.x[:1], data.val.y[:1])
    found = Evaluation(model, data.info.normalization)(one)
    logits = model(one.x.astype("float32") * data.info.scale).numpy()[0]
    expected = np.log(np.exp(logits).sum()) - logits[one.y[0]]
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
