"""Sums over ranks, or over a few neighbouring ones, that gradients flow through: for layers."""

from __future__ import annotations

from typing import Any

import horovod.tensorflow as hvd
import tensorflow as tf

from horovod_lb.errors import DistributedError


class Peers:
    """A `layers.Collective` over Horovod: all ranks, or groups of `span` neighbours (0 to span - 1, ...).

    Groups share one all-reduce over all ranks, each in a row of its own: for the few values of a
    normalization layer that is simpler than communicators of their own. Every rank must take part, and call
    in the same order, but may have another number of examples.

    Attributes:
        present: 0 while this rank has nothing to add, whatever it hands in; else 1.

    Raises:
        DistributedError: `span` does not divide the number of ranks.
    """

    def __init__(self, span: int | None = None) -> None:
        size = hvd.size()
        self.span = size if span is None else span
        if self.span < 1 or size % self.span:
            raise DistributedError(
                f"groups of {self.span} ranks: their size must divide the number of ranks, {size}"
            )
        self.present = tf.Variable(1.0, trainable=False)
        self._groups = size // self.span
        self._group = hvd.rank() // self.span

    def sum(self, tensor: Any) -> Any:
        """See `layers.Collective`; differentiable, the same shape and dtype."""
        if self.span == 1:
            return tensor
        tensor = tf.cast(self.present, tensor.dtype) * tensor
        if self._groups == 1:
            return _all_sum(tensor)
        own = tf.one_hot(self._group, self._groups, dtype=tensor.dtype)
        rows = tf.reshape(own, [self._groups, *[1] * len(tensor.shape)]) * tensor[tf.newaxis]
        return _all_sum(rows)[self._group]


def _all_sum(tensor: Any) -> Any:
    """Over all ranks. A group of its own: never fused with what else is ready, which would make the order of
    the additions a matter of timing.
    """
    name = _next_name()

    def reduced(values: Any, name: str) -> Any:
        return hvd.grouped_allreduce([values], op=hvd.Sum, name=name)[0]

    def summed(values: Any) -> Any:
        return reduced(values, name), lambda upstream: reduced(upstream, f"{name}.gradient")

    return tf.custom_gradient(summed)(tensor)


def _next_name() -> str:
    """The same on every rank for the same place in a model.

    Horovod's own names come from TensorFlow's, which depend on the shapes at hand: ranks with batches of one
    and of two examples would wait for each other for ever.
    """
    if tf.executing_eagerly():
        return "hlb.peers"  # an operation is over before the next one begins
    graph = tf.compat.v1.get_default_graph()
    number = getattr(graph, "_hlb_peers", 0)
    graph._hlb_peers = number + 1
    return f"hlb.peers.{number}"
