"""Evaluation over the ranks: every example exactly once, sums and counts reduced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import horovod.tensorflow as hvd
import numpy as np
import tensorflow as tf

from horovod_lb.data import AS_STORED, Examples
from horovod_lb.data.feed import stream
from horovod_lb.data.partition import shard
from horovod_lb.training.loss import CORRECT, COUNT, LOSS, TOP5, count, cross_entropy

BATCH = 1024


class Evaluation:
    """Loss and accuracy of a model in inference mode, on the examples of all ranks.

    `loss` defaults to plain cross-entropy: label smoothing belongs to training, and a smoothed loss could not
    be compared between studies.
    """

    def __init__(
        self,
        model: Any,
        normalize: Callable[[Any], Any] = AS_STORED,
        loss: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        self._model = model
        self._normalize = normalize
        self._loss = loss or cross_entropy
        self._batch = tf.function(self._count_batch)

    def __call__(self, examples: Examples) -> dict[str, float]:
        """`loss`, `accuracy` and `top5` (fractions) over all of `examples`, on every rank; collective."""
        part = shard(len(examples), hvd.rank(), hvd.size())
        starts = range(part.start, part.stop, BATCH)
        requests = ((np.arange(start, min(start + BATCH, part.stop)), None) for start in starts)
        sums = np.zeros(4)
        for x, y in stream(examples, requests):
            sums += self._batch(x, y).numpy()
        if hvd.size() > 1:
            sums = hvd.allreduce(sums, op=hvd.Sum, name="hlb.evaluation").numpy()
        return means(sums)

    def _count_batch(self, x: Any, y: Any) -> Any:
        outputs = self._model(self._normalize(tf.cast(x, tf.float32)), training=False)
        return count(y, outputs, self._loss(y, outputs))


def means(sums: np.ndarray) -> dict[str, float]:
    """Means of the sums that `loss.count` makes; NaN where nothing was counted."""
    total = sums[COUNT] or np.nan
    return {
        "loss": float(sums[LOSS] / total),
        "accuracy": float(sums[CORRECT] / total),
        "top5": float(sums[TOP5] / total),
    }
