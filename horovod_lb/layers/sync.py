"""Batch normalization over the examples of all ranks, or of a few peers."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from horovod_lb.layers.base import GroupedBatchNormalization
from horovod_lb.layers.collective import Alone, Collective


@keras.saving.register_keras_serializable(package="horovod_lb")
class SyncBatchNormalization(GroupedBatchNormalization):
    """Batch normalization with the moments of the peers' examples together.

    Two sums over the peers: counts and values for the mean, then squared distances from it. That is the merge
    of the peers' own moments (Chan et al. 1979) without a difference of large numbers, in float32, and right
    for unequal parts. Gradients flow through both. A peer without examples joins with count 0.

    The gradient of a peer's examples holds what they do to the other peers' losses through the moments. So
    the mean over ranks is the gradient of the mean of the ranks' losses; where ranks have unequal parts,
    their losses are to be weighted before the gradient is taken, not their gradients after it.

    Args:
        collective: the peers; default: alone, until somebody sets `layer.collective`. It is not part of
            the configuration: a saved model is loaded by a process that is alone.
        unbiased: see `GroupedBatchNormalization`; n is that of all peers.
        **kwargs: as `keras.layers.BatchNormalization`.
    """

    def __init__(
        self, collective: Collective | None = None, *, unbiased: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(unbiased=unbiased, **kwargs)
        if collective is not None and not callable(getattr(collective, "sum", None)):
            raise ValueError(f"collective must have a method `sum`, as `Collective` says, not {collective!r}")
        self.collective: Collective = collective or Alone()

    def moments(self, x: Any) -> tuple[Any, Any, Any, Any]:
        """See `GroupedBatchNormalization`."""
        axes = (0, *self._positions(x))
        total = ops.sum(x, axis=axes)
        # The count must not be a constant to the graph: it is summed anew in every step.
        count = ops.sum(ops.ones_like(ops.take(x, [0], axis=self.axis)))
        sums = self.collective.sum(ops.concatenate([ops.reshape(count, [1]), total]))
        values = ops.stop_gradient(ops.maximum(sums[0], 1.0))
        mean = sums[1:] / values
        distances = ops.sum(ops.square(x - self._channels(mean, x)), axis=axes)
        variance = self.collective.sum(distances) / values
        new_variance = variance * self._bessel(values)
        return self._channels(mean, x), self._channels(variance, x), mean, new_variance
