"""Batch normalization over ranks equals one layer on all of their examples."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from rank_checks import Here, ranks

from horovod_lb.distributed.peers import Peers
from horovod_lb.errors import DistributedError
from horovod_lb.layers import SyncBatchNormalization

SHAPE = (12, 3, 3, 4)


def _layer(make: Any) -> Any:
    layer = make()
    layer.build((None, *SHAPE[1:]))
    rng = np.random.default_rng(1)
    layer.gamma.assign(rng.normal(1, 0.3, SHAPE[-1]))
    layer.beta.assign(rng.normal(0, 0.3, SHAPE[-1]))
    return layer


def _trained(layer: Any, x: np.ndarray, upstream: np.ndarray) -> tuple[Any, list[np.ndarray]]:
    values = tf.constant(x)

    @tf.function
    def step(values: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(values)
            output = layer(values, training=True)
            loss = tf.reduce_sum(output * upstream)
        return output, tape.gradient(loss, [values, *layer.trainable_variables])

    output, gradients = step(values)
    return output.numpy(), [gradient.numpy() for gradient in gradients]


def _compare(here: Here, parts: list[slice], span: int | None = None) -> None:
    """The parts of each group of `span` ranks against one plain layer on all of the group's examples."""
    rng = np.random.default_rng(0)
    x = (rng.normal(5.0, 2.0, SHAPE) + np.arange(12).reshape(12, 1, 1, 1)).astype(np.float32)
    upstream = rng.normal(size=SHAPE).astype(np.float32)
    mine = parts[here.rank]
    sync = _layer(lambda: SyncBatchNormalization(Peers(span), momentum=0.5))
    output, gradients = _trained(sync, x[mine], upstream[mine])

    span = span or here.size
    first = here.rank // span * span
    group = slice(parts[first].start, parts[first + span - 1].stop)
    plain = _layer(lambda: keras.layers.BatchNormalization(momentum=0.5))
    expected, expected_gradients = _trained(plain, x[group], upstream[group])
    inside = slice(mine.start - group.start, mine.stop - group.start)
    np.testing.assert_allclose(output, expected[inside], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gradients[0], expected_gradients[0][inside], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(sync.moving_mean, plain.moving_mean, rtol=1e-5)
    np.testing.assert_allclose(sync.moving_variance, plain.moving_variance, rtol=1e-5)
    for index in (1, 2):
        found = here.comm.allgather(gradients[index])[first : first + span]
        np.testing.assert_allclose(sum(found), expected_gradients[index], rtol=1e-3, atol=1e-3)


@ranks(1, 2, 3)
def check_equal_parts(here: Here) -> None:
    size = 12 // here.size
    _compare(here, [slice(rank * size, (rank + 1) * size) for rank in range(here.size)])


@ranks(2, 3)
def check_unequal_parts(here: Here) -> None:
    bounds = {2: [0, 5, 12], 3: [0, 1, 4, 12]}[here.size]
    _compare(here, [slice(a, b) for a, b in itertools.pairwise(bounds)])


@ranks(3)
def check_a_rank_without_examples_joins(here: Here) -> None:
    bounds = [0, 7, 7, 12]
    _compare(here, [slice(a, b) for a, b in itertools.pairwise(bounds)])


@ranks(4)
def check_groups_of_neighbours(here: Here) -> None:
    _compare(here, [slice(3 * rank, 3 * rank + 3) for rank in range(4)], span=2)
    _compare(here, [slice(3 * rank, 3 * rank + 3) for rank in range(4)], span=1)


@ranks(3)
def check_groups_that_do_not_divide_the_ranks_are_refused(here: Here) -> None:
    with pytest.raises(DistributedError, match="must divide the number of ranks, 3"):
        Peers(2)
