"""One group's forward and backward pass, and once more at other weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from horovod_lb.data import AS_STORED
from horovod_lb.data.portion import Group
from horovod_lb.distributed import DistributedOptimizer
from horovod_lb.distributed.peers import Peers
from horovod_lb.noise import ActivationNoise
from horovod_lb.training.loss import count
from horovod_lb.training.statistics import MovingStatistics
from horovod_lb.training.streams import GroupStreams


@dataclass(frozen=True)
class Part:
    """One group of this rank in a step.

    Attributes:
        group: its number among all groups of the step, an int64 scalar tensor.
        x, y: its examples.
        weight: its part of this rank's examples.
        first, last: whether it is the first or the last of this rank's.
    """

    group: Any
    x: Any
    y: Any
    weight: float
    first: bool
    last: bool


class Passes:
    """Gradients of one group's mean loss, plus λw where an L2 penalty is asked for; all in the graph.

    The gradients are multiplied by the optimizer's loss scale, if it has one.

    Args:
        model: a built Keras model.
        optimizer: whose loss scale counts.
        loss: (labels, outputs) -> float32 [n].
        normalize: makes the network's input of x.astype(float32); by default nothing changes.
        seed: of the random streams.
        penalty: λ of the L2 penalty (λ/2)‖w‖².
        penalized: the variables under it.
        noise: on the activations.
        peers: with whom layers share moments, so that a rank's loss depends on the examples of others. Its
            part of the global mean is then taken before the gradient, see `attend`.
    """

    def __init__(
        self,
        model: Any,
        optimizer: DistributedOptimizer,
        loss: Callable[[Any, Any], Any],
        *,
        normalize: Callable[[Any], Any] = AS_STORED,
        seed: int = 0,
        penalty: float = 0.0,
        penalized: Sequence[Any] = (),
        noise: ActivationNoise | None = None,
        peers: Peers | None = None,
    ) -> None:
        self._peers = peers
        self._unit = tf.Variable(0.0, trainable=False)
        self.statistics = MovingStatistics(model)
        self._model = model
        self._optimizer = optimizer
        self._variables = model.trainable_variables
        self._loss = loss
        self._normalize = normalize
        self._noise = noise
        self._streams = GroupStreams(model, seed, noise.states if noise else ())
        self._penalty = penalty
        self._penalized = list(penalized) if penalty else []

    def first(
        self, x: Any, y: Any, step: Any, group: Any, weight: Any, first: bool, last: bool
    ) -> tuple[list[Any], Any]:
        """The gradients, None for a variable that the loss does not depend on, and `loss.count`.

        `weight`, `first`, `last`: the group's place among this rank's, see `MovingStatistics.group`.
        """

        def run(forward: Callable[[], Any]) -> Any:
            return self.statistics.group(forward, weight, first, last)

        return self._gradients(x, y, step, group, run)

    def attend(self, groups: Sequence[Group], unit: float) -> Sequence[Group]:
        """Before a step in which layers share moments with `peers`: what this rank takes part with.

        Its loss becomes `unit` · Σ over its examples, `unit` being the number of ranks over the examples of
        all; the even mean of the ranks' gradients is then that of the mean loss. A rank without examples
        still has to take part, and TensorFlow's kernels do not bear empty batches: it passes one of zeros,
        which enters neither moments nor loss.
        """
        ((x, y),) = groups
        present = len(y) > 0
        self._unit.assign(unit * present)
        if self._peers:
            self._peers.present.assign(float(present))
        return groups if present else [(np.zeros((1, *x.shape[1:]), x.dtype), np.zeros(1, y.dtype))]

    def again(self, x: Any, y: Any, step: Any, group: Any) -> list[Any]:
        """The gradients at the weights as they are now, with the same random masks as in `first`.

        Moving statistics and every other state of the layers stay as they are: each group enters them once.
        """
        state = [(v, tf.convert_to_tensor(v)) for v in self._model.non_trainable_variables]
        gradients, _ = self._gradients(x, y, step, group, lambda forward: forward())
        for variable, value in state:
            variable.assign(value)
        return gradients

    def _gradients(
        self, x: Any, y: Any, step: Any, group: Any, run: Callable[[Callable[[], Any]], Any]
    ) -> tuple[list[Any], Any]:
        self._streams.set(step, group)
        with self._noise or nullcontext(), tf.GradientTape() as tape:
            outputs = run(lambda: self._model(self._normalize(tf.cast(x, tf.float32)), training=True))
            losses = self._loss(y, outputs)
            loss = tf.reduce_mean(losses)
            if self._model.losses:  # regularizers and activity losses of the layers
                loss += tf.add_n([tf.cast(term, tf.float32) for term in self._model.losses])
            if self._peers:
                loss *= self._unit * tf.cast(tf.size(y), tf.float32)
            if self._penalized:
                squares = [tf.reduce_sum(tf.square(tf.cast(v, tf.float32))) for v in self._penalized]
                loss += 0.5 * self._penalty * tf.add_n(squares)
            scaled = self._optimizer.scale_loss(loss)
        counts = count(y, outputs, losses)
        if self._peers:
            counts *= self._peers.present
        return tape.gradient(scaled, self._variables), counts


def zeros(shape: Any, dtype: Any) -> Any:
    """Zeros that are no constants to the graph optimizer: it evaluates Horovod's operations on constants
    once, when the graph is made, and leaves the other ranks waiting at every step.
    """
    return tf.raw_ops.Empty(shape=tf.constant(list(shape), tf.int32), dtype=tf.as_dtype(dtype), init=True)
