"""Sums over ranks, or over a few neighbouring ones, that gradients flow through: for layers."""

from __future__ import annotations

from typing import Any

import horovod.tensorflow as hvd
import tensorflow as tf

from horovod_lb.errors import DistributedError


class Peers:
    """A `layers.Collective` over Horovod: all ranks, or groups of `span` neighbours (0 to span - 1, ...).

    Groups share one all-reduce over all ranks, each in a row of its own: for the few values of a
    normalization layer that is simpler than communicators of their own. Every rank must take part.

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
        self._groups = size // self.span
        self._group = hvd.rank() // self.span

    def sum(self, tensor: Any) -> Any:
        """See `layers.Collective`; differentiable, the same shape and dtype."""
        if self.span == 1:
            return tensor
        if self._groups == 1:
            return hvd.allreduce(tensor, op=hvd.Sum)
        own = tf.one_hot(self._group, self._groups, dtype=tensor.dtype)
        rows = tf.reshape(own, [self._groups, *[1] * len(tensor.shape)]) * tensor[tf.newaxis]
        return hvd.allreduce(rows, op=hvd.Sum)[self._group]
