"""Ghost batch normalization: a batch is normalized in groups of a fixed size (Hoffer et al. 2017)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from horovod_lb.layers.base import GroupedBatchNormalization
from horovod_lb.parameters import whole


@keras.saving.register_keras_serializable(package="horovod_lb")
class GhostBatchNormalization(GroupedBatchNormalization):
    """Batch normalization in groups of `group_size` consecutive examples.

    A remainder makes a smaller group of its own; a batch that is not larger than a group is one group. The
    new moments for the moving averages are the means of the groups' mean and variance, each group weighted by
    its examples: linear in the groups, so that they do not depend on how groups are dealt to ranks or to
    micro-batches that are averaged. (Hoffer et al. apply the groups one after the other, which makes the
    average forget faster the more groups there are; averages of either kind have the same limit.)

    Args:
        group_size: examples of a group, at least 1.
        unbiased: see `GroupedBatchNormalization`; n is that of a group.
        **kwargs: as `keras.layers.BatchNormalization`.

    Raises:
        ValueError: an option out of its range, with its name.
    """

    def __init__(self, group_size: int, *, unbiased: bool = False, **kwargs: Any) -> None:
        super().__init__(unbiased=unbiased, **kwargs)
        self.group_size = whole("group_size", group_size, 1)

    def moments(self, x: Any) -> tuple[Any, Any, Any, Any]:
        """See `GroupedBatchNormalization`; mean and variance are those of each example's group."""
        examples, positions = ops.shape(x)[0], self._positions(x)
        group = ops.arange(examples) // self.group_size
        groups = -(-examples // self.group_size)
        ones = ops.ones_like(ops.sum(x, axis=tuple(range(1, len(x.shape)))))
        sizes = self._sum(ones, group, groups)
        values = ops.expand_dims(sizes, -1) * self._positions_count(x)

        def mean_over_groups(per_position: Any) -> Any:
            return self._sum(ops.sum(per_position, axis=positions), group, groups) / values

        mean = mean_over_groups(x)
        spread = self._to_examples(mean, group, x)
        variance = mean_over_groups(ops.square(x - spread))
        weight = ops.expand_dims(sizes / ops.sum(sizes), -1)
        new_mean = ops.sum(weight * mean, axis=0)
        new_variance = ops.sum(weight * variance * self._bessel(values), axis=0)
        return spread, self._to_examples(variance, group, x), new_mean, new_variance

    def get_config(self) -> dict[str, Any]:
        """Everything `from_config` needs."""
        return {**super().get_config(), "group_size": self.group_size}

    @staticmethod
    def _sum(per_example: Any, group: Any, groups: Any) -> Any:
        # TensorFlow counts sorted groups itself; others compile for a number that they are told.
        number = None if keras.backend.backend() == "tensorflow" else groups
        return ops.segment_sum(per_example, group, num_segments=number, sorted=True)

    def _to_examples(self, of_groups: Any, group: Any, x: Any) -> Any:
        """[G, C] -> [N, 1, ..., C] for every example of its group."""
        rows = ops.take(of_groups, group, axis=0)
        for axis in self._positions(x):
            rows = ops.expand_dims(rows, axis)
        return rows
