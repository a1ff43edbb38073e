"""Sums over blocks of neighbouring ranks, each block by itself."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import horovod.tensorflow as hvd
import tensorflow as tf

_serial = itertools.count()


class BlockReducer:
    """Σ_r share_r · g_r over the ranks r of a block of neighbours, for every block at once.

    Two exchanges of all ranks: each rank of a block sums one part of the gradients and hands it back, so that
    a rank moves as much as in a ring of its block alone, whatever the number of blocks. The parts are added
    in the order of the ranks: a sum repeats bit for bit. (Horovod's process sets would do, but sets that are
    not known when it starts cost one more exchange in every cycle of every run.)

    Make them in the same order on every rank: the names of their operations are numbered.
    """

    def __init__(self) -> None:
        self._name = f"hlb.block.{next(_serial)}"

    def reduce(self, tensors: Sequence[Any], share: Any, ranks: range) -> list[Any]:
        """The sums over `ranks`, a block that this rank is in; dense float tensors of one dtype and known
        shapes, the same on all ranks of the block. A block of one rank only takes part in the exchange.

        Collective: every rank must call it, the same number of times.
        """
        flat = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)
        flat = flat * tf.cast(share, flat.dtype)
        size, count = int(flat.shape[0]), len(ranks)
        part = -(-size // count)
        splits = [part if rank in ranks and count > 1 else 0 for rank in range(hvd.size())]
        if count == 1:
            nothing = flat[:0]
            for phase in ("deal", "return"):
                nothing = self._exchange(nothing, splits, phase)
            # The exchange hangs on the result, or the graph would leave it out and the others wait.
            return _unpack(tf.concat([flat, nothing], axis=0)[:size], tensors)
        dealt = self._exchange(tf.pad(flat, [[0, part * count - size]]), splits, "deal")
        mine = tf.reduce_sum(tf.reshape(dealt, [count, part]), axis=0)
        whole = self._exchange(tf.tile(mine, [count]), splits, "return")
        return _unpack(tf.reshape(whole, [part * count])[:size], tensors)

    def _exchange(self, values: Any, splits: list[int], phase: str) -> Any:
        received, _ = hvd.alltoall(values, splits=tf.constant(splits, tf.int32), name=f"{self._name}.{phase}")
        return received


def _unpack(flat: Any, like: Sequence[Any]) -> list[Any]:
    sizes = [tensor.shape.num_elements() for tensor in like]
    parts = tf.split(flat, sizes)
    return [tf.reshape(part, tensor.shape) for part, tensor in zip(parts, like, strict=True)]
