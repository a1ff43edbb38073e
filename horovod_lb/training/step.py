"""One training step: the groups of this rank, one all-reduce, one update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from horovod_lb.distributed import DistributedOptimizer
from horovod_lb.training.loss import count, cross_entropy
from horovod_lb.training.statistics import MovingStatistics
from horovod_lb.training.streams import GroupStreams

Group = tuple[Any, Any]


class TrainingStep:
    """Works through this rank's groups of a global batch and updates the model with the mean over all of it.

    The gradient of a group is that of the mean loss over its examples, plus λw where an L2 penalty is asked
    for. Groups of one rank are accumulated, weighted by their examples; the last one's backward pass runs
    into the all-reduce, so buckets that are complete are reduced while earlier layers are still at work.

    Args:
        model: a built Keras model whose outputs are logits.
        optimizer: wraps the optimizer of the run.
        scale: the network's input is x.astype(float32) · scale.
        seed: of the random streams.
        smoothing: label smoothing α.
        penalty: λ of the L2 penalty (λ/2)‖w‖².
        penalized: the variables under it.
        loss: (labels, outputs) -> float32 [n]; default: cross-entropy of logits.
    """

    def __init__(
        self,
        model: Any,
        optimizer: DistributedOptimizer,
        *,
        scale: float = 1.0,
        seed: int = 0,
        smoothing: float = 0.0,
        penalty: float = 0.0,
        penalized: Sequence[Any] = (),
        loss: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._variables = model.trainable_variables
        self._scale = scale
        self._loss = loss or (lambda labels, logits: cross_entropy(labels, logits, smoothing))
        self._penalty = penalty
        self._penalized = list(penalized)
        self._streams = GroupStreams(model, seed)
        self.statistics = MovingStatistics(model)
        self._gradient_sums: list[tf.Variable] = []
        self._count_sum = tf.Variable(tf.zeros([4]), trainable=False)
        self._accumulate = tf.function(self._accumulate_group)
        self._finish = tf.function(self._finish_step)

    def __call__(
        self, step: int, groups: Sequence[Group], first_group: int, batch: int, ranks: int
    ) -> np.ndarray:
        """Do global step `step`.

        Args:
            step: t, from 0.
            groups: (x, y) of each of this rank's groups, in order; a group may be empty.
            first_group: the index of the first of them among all groups.
            batch: b, the examples of this step on all ranks.
            ranks: the number of ranks.

        Returns:
            float32 [4] over the whole global batch, the same on every rank: see `loss.count`.
        """
        mine = sum(len(y) for _, y in groups)
        share = mine / batch
        unequal = mine * ranks != batch
        numbered = [(first_group + index, x, y) for index, (x, y) in enumerate(groups) if len(y)]
        if unequal:
            self.statistics.begin_unequal_step()
        t = tf.constant(step, tf.int64)
        for position, (group, x, y) in enumerate(numbered[:-1]):
            self._make_sums()
            weight = tf.constant(len(y) / mine)
            self._accumulate(x, y, t, tf.constant(group, tf.int64), weight, first=position == 0)
        if numbered:
            group, x, y = numbered[-1]
            weight, index = tf.constant(len(y) / mine), tf.constant(group, tf.int64)
        else:
            (x, y), weight, index = groups[0], tf.constant(0.0), tf.constant(first_group, tf.int64)
        totals = self._finish(
            x,
            y,
            t,
            index,
            weight,
            share=tf.constant(share) if unequal else None,
            accumulated=len(numbered) > 1,
            empty=not numbered,
        )
        if unequal:
            self.statistics.end_unequal_step(share * ranks)
        return totals.numpy()

    def _group_gradients(
        self, x: Any, y: Any, step: Any, group: Any, weight: Any, first: bool, last: bool
    ) -> tuple[list[Any], Any]:
        self._streams.set(step, group)

        def forward() -> Any:
            return self._model(tf.cast(x, tf.float32) * self._scale, training=True)

        with tf.GradientTape() as tape:
            outputs = self.statistics.group(forward, weight, first, last)
            losses = self._loss(y, outputs)
            loss = tf.reduce_mean(losses)
            if self._model.losses:  # regularizers and activity losses of the layers
                loss += tf.add_n([tf.cast(term, tf.float32) for term in self._model.losses])
            if self._penalized and self._penalty:
                squares = [tf.reduce_sum(tf.square(tf.convert_to_tensor(v))) for v in self._penalized]
                loss += 0.5 * self._penalty * tf.add_n(squares)
            scaled = self._optimizer.scale_loss(loss)
        return tape.gradient(scaled, self._variables), count(y, outputs, losses)

    def _accumulate_group(self, x: Any, y: Any, step: Any, group: Any, weight: Any, first: bool) -> None:
        gradients, counts = self._group_gradients(x, y, step, group, weight, first, last=False)
        for total, gradient in zip(self._gradient_sums, gradients, strict=True):
            if gradient is not None:
                part = weight * tf.convert_to_tensor(gradient)
                total.assign(part) if first else total.assign_add(part)
        self._count_sum.assign(counts) if first else self._count_sum.assign_add(counts)

    def _finish_step(
        self, x: Any, y: Any, step: Any, group: Any, weight: Any, share: Any, accumulated: bool, empty: bool
    ) -> Any:
        if empty:
            gradients, counts = self._no_gradients(x, y, step, group), _zeros([4], tf.float32)
        else:
            gradients, counts = self._group_gradients(
                x, y, step, group, weight, first=not accumulated, last=True
            )
        if accumulated:
            gradients = [
                None if gradient is None else total + weight * tf.convert_to_tensor(gradient)
                for total, gradient in zip(self._gradient_sums, gradients, strict=True)
            ]
            counts += self._count_sum
        if share is not None:
            # The ranks' numbers of groups differ, and with them what is sparse: all reduce dense gradients.
            gradients = [
                None if gradient is None else tf.convert_to_tensor(gradient) for gradient in gradients
            ]
        totals = self._optimizer.reducer.sum(counts)
        self._optimizer.apply(gradients, self._variables, share=share)
        return totals

    def _no_gradients(self, x: Any, y: Any, step: Any, group: Any) -> list[Any]:
        """Zeros for the variables that have a gradient on the ranks with examples, None for the others."""
        inputs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in (x, y, step, group)]
        weight = tf.TensorSpec([], tf.float32)
        # Traced to see which variables the loss depends on, never run.
        traced = tf.function(self._group_gradients).get_concrete_function(*inputs, weight, True, True)
        return [
            None if gradient is None else _zeros(variable.shape, variable.dtype)
            for gradient, variable in zip(traced.structured_outputs[0], self._variables, strict=True)
        ]

    def _make_sums(self) -> None:
        if not self._gradient_sums:
            self._gradient_sums = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self._variables]


def _zeros(shape: Any, dtype: Any) -> Any:
    """Zeros that are no constants to the graph optimizer: it evaluates Horovod's operations on constants
    once, when the graph is made, and leaves the other ranks waiting at every step.
    """
    return tf.raw_ops.Empty(shape=tf.constant(list(shape), tf.int32), dtype=tf.as_dtype(dtype), init=True)
