"""Embeddings, whose gradients are slices: as a dense layer on one-hot inputs, whatever the optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from points import distance
from rank_checks import Here, ranks

import horovod_lb as hlb
from horovod_lb.noise import GradientNoise
from horovod_lb.optimizers import LAMB, LARS, LayerWise, MomentumSGD

ROWS, WIDTH, BATCH, STEPS = 9, 4, 12, 5
KINDS: dict[str, Callable[..., Any]] = {
    "momentum": lambda **o: MomentumSGD(0.25, nesterov=True, **o),
    "lars": lambda **o: LARS(0.125, **{"weight_decay": 0.1, **o}),
    "lamb": lambda **o: LAMB(0.0625, epsilon=1e-3, **{"weight_decay": 0.1, **o}),
    "layerwise-update": lambda **o: LayerWise(keras.optimizers.Adam(0.0625, epsilon=1e-3, **o)),
    "layerwise-gradient": lambda **o: LayerWise(keras.optimizers.SGD(0.25, 0.9, **o), on="gradient"),
    "layerwise-excluded": lambda **o: LayerWise(
        keras.optimizers.Adam(0.0625, epsilon=1e-3, **o), exclude_from_adaptation=["table"]
    ),
    "noise": lambda **o: GradientNoise(keras.optimizers.Adam(0.0625, epsilon=1e-3, **o), 0.01),
}
CLIPPED: dict[str, dict[str, Any]] = {"": {}, "global": {"global_clipnorm": 0.02}, "own": {"clipnorm": 0.01}}


def _batches() -> list[tuple[np.ndarray, np.ndarray]]:
    """Ids, some twice and some never, of two words an example, and what to predict."""
    stream = np.random.default_rng(31)
    return [
        (stream.integers(0, ROWS - 2, (BATCH, 2)), stream.normal(size=(BATCH, 3)).astype("float32"))
        for _ in range(STEPS)
    ]


def _train(optimizer: Any, sparse: bool, rows: slice) -> list[np.ndarray]:
    """Table and kernel after all steps, on these rows of each batch."""
    stream = np.random.default_rng(32)
    table = keras.Variable(stream.normal(size=(ROWS, WIDTH)).astype("float32"), name="table")
    kernel = keras.Variable(stream.normal(size=(WIDTH, 3)).astype("float32"), name="kernel")
    variables = [table, kernel]
    optimizer.build(variables)

    @tf.function
    def step(words: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            if sparse:
                looked_up = tf.gather(table.value, words)
            else:
                looked_up = tf.einsum("nwr,rd->nwd", tf.one_hot(words, ROWS), table.value)
            outputs = tf.tanh(tf.reduce_sum(looked_up, 1)) @ kernel.value
            loss = tf.reduce_mean(tf.square(outputs - y))
        gradients = tape.gradient(loss, [table.value, kernel.value])
        assert isinstance(gradients[0], tf.IndexedSlices) == sparse
        optimizer.apply(gradients, variables)

    for words, y in _batches():
        step(tf.constant(words[rows]), tf.constant(y[rows]))
    return [variable.numpy() for variable in variables]


@ranks(1, 2, seconds=240)
def check_slices_are_as_dense(here: Here) -> None:
    """Plain, and inside of `DistributedOptimizer` with the gathered slices and with `sparse_as_dense`."""
    part = BATCH // here.size
    mine = slice(here.rank * part, (here.rank + 1) * part)
    wrong = []
    for name, make in KINDS.items():
        for clipping, options in CLIPPED.items() if here.size == 1 else [("", {})]:
            expected = _train(make(**options), False, slice(None))
            found = {"alone": _train(make(**options), True, slice(None))} if here.size == 1 else {}
            for dense in (False, True) if not clipping else ():
                wrapped = hlb.DistributedOptimizer(make(**options), sparse_as_dense=dense)
                found[f"sparse_as_dense={dense}"] = _train(wrapped, True, mine)
                here.identical(*found[f"sparse_as_dense={dense}"])
            gaps = {how: distance(values, expected) for how, values in found.items()}
            wrong += [f"{name} {clipping} {how}: {gap:.1e}" for how, gap in gaps.items() if not gap < 1e-5]
    assert not wrong, "\n".join(wrong)
