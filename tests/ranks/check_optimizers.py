"""The wrapped optimizer on this rank's part against the plain Keras optimizer on the whole batch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from points import distance
from rank_checks import Here, ranks

import horovod_lb as hlb
from horovod_lb.distributed import reducer
from horovod_lb.optimizers import LAMB, LARS, LayerWise, MomentumSGD

STEPS = 4
BATCH = 24

KINDS: dict[str, Callable[..., Any]] = {
    "sgd": lambda **o: keras.optimizers.SGD(0.2, **o),
    "nesterov": lambda **o: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, **o),
    "momentum": lambda **o: MomentumSGD(0.1, nesterov=True, **o),
    "adam": lambda **o: keras.optimizers.Adam(0.05, **o),
    "adamw": lambda **o: keras.optimizers.AdamW(0.05, **{"weight_decay": 0.1, **o}),
    "rmsprop": lambda **o: keras.optimizers.RMSprop(0.02, momentum=0.5, **o),
    "adagrad": lambda **o: keras.optimizers.Adagrad(0.2, **o),
    "lars": lambda **o: LARS(0.05, **{"weight_decay": 0.1, **o}),
    "lamb": lambda **o: LAMB(0.02, epsilon=1e-3, **{"weight_decay": 0.1, **o}),
    "layerwise": lambda **o: LayerWise(keras.optimizers.Adam(0.05, epsilon=1e-3, **o), max_ratio=2.0),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "global_clipnorm": {"global_clipnorm": 0.1},
    "clipnorm": {"clipnorm": 0.05},
    "clipvalue": {"clipvalue": 0.02},
    "weight_decay": {"weight_decay": 0.3},
    "ema": {"use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 3},
}


def _network() -> Any:
    keras.utils.set_random_seed(5)
    layers = [keras.Input((5,)), keras.layers.Dense(7, activation="tanh"), keras.layers.Dense(3)]
    return keras.Sequential(layers)


def _batches(steps: int = STEPS, batch: int = BATCH) -> list[tuple[np.ndarray, np.ndarray]]:
    stream = np.random.default_rng(11)
    return [
        (stream.normal(size=(batch, 5)).astype("float32"), stream.normal(size=(batch, 3)).astype("float32"))
        for _ in range(steps)
    ]


def _part(batch: tuple[np.ndarray, np.ndarray], bounds: Sequence[int], rank: int) -> tuple[Any, Any]:
    rows = slice(bounds[rank], bounds[rank + 1])
    return batch[0][rows], batch[1][rows]


def _equal(here: Here, batch: int = BATCH) -> list[int]:
    return [rank * batch // here.size for rank in range(here.size + 1)]


def _train(optimizer: Any, batches: Sequence[Any], shares: Sequence[float] | None = None) -> list[np.ndarray]:
    model = _network()
    variables = model.trainable_variables
    optimizer.build(variables)

    @tf.function(reduce_retracing=True)
    def step(x: Any, y: Any, share: Any) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x) - y))
        gradients = tape.gradient(loss, variables)
        if share is None:
            optimizer.apply(gradients, variables)
        else:
            optimizer.apply(gradients, variables, share=share)

    for number, (x, y) in enumerate(batches):
        step(
            tf.constant(x),
            tf.constant(y),
            None if shares is None else tf.constant(shares[number], tf.float32),
        )
    optimizer.finalize_variable_values(variables)
    return [v.numpy() for v in variables]


def _compare(
    here: Here, plain: Any, inner: Any, bounds: Any = None, within: float = 1e-5, **options: Any
) -> list[np.ndarray]:
    """Both from the same weights over the same batches; the weights of the wrapped one."""
    batches = _batches()
    expected = _train(plain, batches)
    moved = distance(expected, [v.numpy() for v in _network().trainable_variables])
    assert moved > 1e-3, f"the reference did not train: {moved}"
    bounds = bounds or [_equal(here)] * len(batches)
    parts = [_part(batch, cut, here.rank) for batch, cut in zip(batches, bounds, strict=True)]
    unequal = any(len({b - a for a, b in itertools.pairwise(cut)}) > 1 for cut in bounds)
    shares = [len(x) / BATCH for x, _ in parts] if unequal else None
    found = _train(hlb.DistributedOptimizer(inner, **options), parts, shares)
    here.identical(*found)
    assert distance(found, expected) < within, f"{plain.name}: {distance(found, expected)}"
    return found


def _all_kinds(here: Here, **options: Any) -> None:
    for make in KINDS.values():
        _compare(here, make(**options), make(**options))


@ranks(1, 2, 3)
def check_every_kind(here: Here) -> None:
    _all_kinds(here)


@ranks(2)
def check_clipping_by_global_norm(here: Here) -> None:
    _all_kinds(here, **OPTIONS["global_clipnorm"])


@ranks(2)
def check_clipping_by_norm(here: Here) -> None:
    for kind in ("sgd", "momentum", "adam"):
        _compare(here, KINDS[kind](**OPTIONS["clipnorm"]), KINDS[kind](**OPTIONS["clipnorm"]))


@ranks(2)
def check_clipping_by_value(here: Here) -> None:
    for kind in ("nesterov", "rmsprop", "adagrad"):
        _compare(here, KINDS[kind](**OPTIONS["clipvalue"]), KINDS[kind](**OPTIONS["clipvalue"]))


@ranks(3)
def check_weight_decay_and_moving_average(here: Here) -> None:
    for kind in ("momentum", "adam"):
        for option in ("weight_decay", "ema"):
            _compare(here, KINDS[kind](**OPTIONS[option]), KINDS[kind](**OPTIONS[option]))


@ranks(2, 3)
def check_accumulation(here: Here) -> None:
    for kind in ("nesterov", "adam", "momentum", "lars", "layerwise"):
        options = {"gradient_accumulation_steps": 2, **OPTIONS["global_clipnorm"]}
        _compare(here, KINDS[kind](**options), KINDS[kind](**options))


@ranks(2, 3, 4)
def check_unequal_parts(here: Here) -> None:
    """The last batch in parts of 1, 2, ..., and of none on rank 0."""
    for last in (0, 1):
        ragged = [0, last, *(last + 2 * rank for rank in range(1, here.size - 1)), BATCH]
        bounds = [_equal(here)] * (STEPS - 1) + [ragged]
        for kind in ("momentum", "adam"):
            if last == 0:
                _with_an_empty_part(here, KINDS[kind], ragged)
            else:
                _compare(here, KINDS[kind](), KINDS[kind](), bounds)


def _with_an_empty_part(here: Here, make: Callable[..., Any], bounds: list[int]) -> None:
    """A rank without examples has zeros for gradients; it must join in all the same."""
    batch = _batches()[0]
    expected = _train(make(), [batch])
    model = _network()
    optimizer = hlb.DistributedOptimizer(make())
    x, y = _part(batch, bounds, here.rank)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(x) - y))
    gradients = tape.gradient(loss, model.trainable_variables)
    if not len(x):
        gradients = [tf.zeros_like(v) for v in model.trainable_variables]
    optimizer.apply(gradients, model.trainable_variables, share=len(x) / BATCH)
    found = [v.numpy() for v in model.trainable_variables]
    here.identical(*found)
    assert distance(found, expected) < 1e-5


@ranks(2, 3)
def check_bucket_sizes_agree(here: Here) -> None:
    """The plan decides the order of messages, not the numbers: a sum over ranks is one element's own."""
    found = [_compare(here, KINDS["adam"](), KINDS["adam"](), bucket_bytes=size) for size in (1, 100, 2**30)]
    for other in found[1:]:
        assert distance(other, found[0]) < 1e-6


@ranks(2)
def check_compression(here: Here) -> None:
    """Half precision on the way: 11 bits of each gradient, so near the plain result, and not equal to it."""
    exact = _compare(here, KINDS["sgd"](), KINDS["sgd"]())
    rounded = _compare(here, KINDS["sgd"](), KINDS["sgd"](), within=2e-3, compression="fp16")
    assert 0 < distance(rounded, exact) < 2e-3


class _Calls:
    """Counts grouped all-reduces while they go on as ever."""

    def __init__(self) -> None:
        self._original = reducer.hvd.grouped_allreduce
        self.sizes: list[int] = []

    def __enter__(self) -> _Calls:
        def counted(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            self.sizes.append(len(tensors))
            return self._original(tensors, *args, **kwargs)

        reducer.hvd.grouped_allreduce = counted
        return self

    def __exit__(self, *error: Any) -> None:
        reducer.hvd.grouped_allreduce = self._original


@ranks(2)
def check_one_reduction_a_step(here: Here) -> None:
    """Eagerly, so that calls can be counted: 6 micro-batches, 3 a step, are 2 reductions of 4 gradients."""
    model = _network()
    optimizer = hlb.DistributedOptimizer(keras.optimizers.SGD(0.1, gradient_accumulation_steps=3))
    with _Calls() as calls:
        for x, y in _batches(6):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(model(x) - y))
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    assert calls.sizes == [4, 4]
    assert int(optimizer.iterations) == 2
    with _Calls() as calls:
        small = hlb.DistributedOptimizer(keras.optimizers.SGD(0.1), bucket_bytes=1)
        small.apply([tf.ones(v.shape) for v in model.trainable_variables], model.trainable_variables)
    assert calls.sizes == [1, 1, 1, 1]


def _embedding_gradients(rank: int, size: int) -> tf.IndexedSlices:
    """Six slices in all, some of one row, within a rank and between ranks."""
    rows, values = np.array([1, 1, 2, 1, 3, 3]), np.random.default_rng(2).normal(size=(6, 4))
    mine = slice(rank * 6 // size, (rank + 1) * 6 // size)
    # A mean over this rank's part: the sum over all, divided by 6, is the mean of the parts' means.
    scaled = tf.constant(values[mine] * (size / 6), tf.float32)
    return tf.IndexedSlices(scaled, tf.constant(rows[mine]), dense_shape=tf.constant([5, 4]))


@ranks(1, 2, 3)
def check_embeddings(here: Here) -> None:
    """Slices of one row add up before the optimizer sees them, as dense gradients of a whole batch would."""
    for make in (KINDS["sgd"], KINDS["adam"], KINDS["adagrad"], KINDS["momentum"]):
        for option in ({}, OPTIONS["clipnorm"]):
            table = keras.Variable(np.ones((5, 4), "float32"))
            plain = make(**option)
            for _ in range(3):
                plain.apply([tf.convert_to_tensor(_embedding_gradients(0, 1))], [table])
            for dense in (False, True):
                mine = keras.Variable(np.ones((5, 4), "float32"))
                wrapped = hlb.DistributedOptimizer(make(**option), sparse_as_dense=dense)
                for _ in range(3):
                    wrapped.apply([_embedding_gradients(here.rank, here.size)], [mine])
                here.identical(mine.numpy())
                assert distance([mine.numpy()], [table.numpy()]) < 1e-6, (plain.name, option, dense)


@ranks(2)
def check_variables_without_gradient(here: Here) -> None:
    used, unused = keras.Variable([1.0, 2.0]), keras.Variable([3.0])
    optimizer = hlb.DistributedOptimizer(keras.optimizers.SGD(0.5))
    optimizer.apply([tf.constant([2.0, 4.0]) * (here.rank + 1), None], [used, unused])
    np.testing.assert_allclose(used.numpy(), [1 - 0.5 * 3, 2 - 0.5 * 6])
    np.testing.assert_array_equal(unused.numpy(), [3.0])


@ranks(2)
def check_half_precision_skips_on_all_ranks(here: Here) -> None:
    """An infinite gradient on one rank: no rank takes the step, and all halve the scale."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        variable = keras.Variable([1.0, 1.0], dtype="float32")
        optimizer = hlb.DistributedOptimizer(keras.optimizers.SGD(1.0))
        assert optimizer.scales_loss
        optimizer.build([variable])
        scaling = optimizer.inner_optimizer
        scale = float(scaling.dynamic_scale)
        bad = [np.inf if here.rank == 1 else 1.0, 1.0]
        optimizer.apply([tf.constant(bad)], [variable])
        assert (int(optimizer.iterations), float(scaling.dynamic_scale)) == (0, scale / 2)
        np.testing.assert_array_equal(variable.numpy(), [1.0, 1.0])
        optimizer.apply([tf.constant([scale / 4, 0.0]) * 2.0 * here.rank], [variable])
        assert (int(optimizer.iterations), float(scaling.dynamic_scale)) == (1, scale / 2)
        np.testing.assert_allclose(variable.numpy(), [0.5, 1.0])
        here.identical(variable.numpy(), *(v.numpy() for v in optimizer.variables))
    finally:
        keras.config.set_dtype_policy("float32")
