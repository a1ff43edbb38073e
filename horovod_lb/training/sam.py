"""Sharpness-aware minimization in the training step: where each group's second pass is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import horovod.tensorflow as hvd
import tensorflow as tf

from horovod_lb.data.partition import group_bounds
from horovod_lb.distributed import DistributedOptimizer
from horovod_lb.distributed.blocks import BlockReducer
from horovod_lb.sam.perturbation import ascent
from horovod_lb.training.blocks import Stage, stages
from horovod_lb.training.passes import Part, Passes, zeros


class Climb:
    """Moves the weights from w to w + ε; in the graph."""

    def __init__(self, optimizer: DistributedOptimizer, variables: Sequence[Any], sam: Mapping[str, Any]):
        self._optimizer = optimizer
        self._variables = list(variables)
        self._rho, self._adaptive = sam["rho"], sam["adaptive"]

    def __call__(self, gradients: Sequence[Any]) -> Any:
        """`gradients` times the loss scale, taken at w. Returns what `spoil` needs: 0, or NaN where they are
        not finite, and then the weights stay.
        """
        # Unscaled first: the norm of scaled gradients may leave float32's range where their own does not.
        unit = 1.0 / self._optimizer.scale_loss(tf.constant(1.0))
        plain = [None if g is None else tf.convert_to_tensor(g) * tf.cast(unit, g.dtype) for g in gradients]
        found = ascent(plain, self._variables, self._rho, self._adaptive)
        for variable, step in zip(self._variables, found.perturbation, strict=True):
            variable.assign_add(step)
        return tf.where(found.finite, 0.0, float("nan"))


def spoil(gradients: Sequence[Any], spoiled: Any) -> list[Any]:
    """`gradients`, or, where `spoiled` is NaN, gradients that are not finite.

    Every rank learns of it from the reduced ones, and all of them skip the step.
    """
    result = list(gradients)
    for index, gradient in enumerate(result):
        if gradient is not None and not isinstance(gradient, tf.IndexedSlices):
            result[index] = gradient + tf.cast(spoiled, gradient.dtype)
            return result
    return [None if g is None else tf.convert_to_tensor(g) + tf.cast(spoiled, g.dtype) for g in result]


class OwnAscent:
    """ε from each group's own gradient: both passes of a group follow each other."""

    def __init__(self, passes: Passes, climb: Climb, variables: Sequence[Any]) -> None:
        self._passes, self._climb = passes, climb
        self._variables = list(variables)

    def gradients(
        self, x: Any, y: Any, step: Any, group: Any, weight: Any, first: bool, last: bool
    ) -> tuple[list[Any], Any]:
        """The gradients at w + ε and the counts at w, see `Passes.first`; then the weights are w again."""
        gradients, counts = self._passes.first(x, y, step, group, weight, first, last)
        weights = [tf.convert_to_tensor(variable) for variable in self._variables]
        spoiled = self._climb(gradients)
        gradients = self._passes.again(x, y, step, group)
        for variable, value in zip(self._variables, weights, strict=True):
            variable.assign(value)
        return spoil(gradients, spoiled), counts


class SharedAscent:
    """ε from the mean gradient of a block of groups, on one rank or on several.

    First passes of all groups of a block, then their second passes, each at the same w + ε.

    Args:
        shared: how many consecutive groups, of `groups` in all, make a block.

    Attributes:
        weights: w, of the variables that are at w + ε from `climb` on.
    """

    def __init__(
        self,
        passes: Passes,
        climb: Climb,
        optimizer: DistributedOptimizer,
        variables: Sequence[Any],
        shared: int,
        groups: int,
    ) -> None:
        self._passes, self._climb, self._optimizer = passes, climb, optimizer
        self._variables = list(variables)
        self._shared, self._groups = shared, groups
        self._exchange = BlockReducer()
        self.weights = [tf.Variable(tf.zeros_like(v), trainable=False) for v in variables]
        self._sums = [tf.Variable(tf.zeros_like(v), trainable=False) for v in variables]
        self._counts = tf.Variable(tf.zeros([4]), trainable=False)
        self._spoiled = tf.Variable(0.0, trainable=False)
        self._look = tf.function(self._look_at)
        self._rise = tf.function(self._rise_from)
        self._return = tf.function(self.descend)

    def stages(self, ranks: int, rank: int) -> list[Stage]:
        """The blocks that a rank works through, in order."""
        return stages(self._groups, self._shared, ranks, rank)

    def climb(self, stage: Stage, parts: Sequence[Part], step: Any, batch: int) -> None:
        """From w, the first passes of `parts`, this rank's groups of the block, then to w + ε.

        Collective where the stage spans ranks. `batch`: the examples of the step on all ranks.
        """
        mine = sum(len(part.y) for part in parts)
        for position, part in enumerate(parts):
            weights = tf.constant(part.weight), tf.constant(len(part.y) / mine)
            self._look(part.x, part.y, step, part.group, *weights, part.first, part.last, position == 0)
        bounds = group_bounds(batch, self._groups)
        total = bounds[stage.groups.stop] - bounds[stage.groups.start]
        share = tf.constant(mine / total if mine else 0.0, tf.float32)
        self._rise(share, stage.spans, stage.ranks.start, stage.ranks.stop, empty=not parts)

    def gradients(
        self, x: Any, y: Any, step: Any, group: Any, weight: Any, first: bool, last: bool
    ) -> tuple[list[Any], Any]:
        """In the graph, after `climb`: the gradients at w + ε, and once for all groups their counts at w."""
        counts = tf.convert_to_tensor(self._counts)
        gradients = self._passes.again(x, y, step, group)
        self._counts.assign(tf.zeros_like(counts))
        return spoil(gradients, tf.convert_to_tensor(self._spoiled)), counts

    def descend(self) -> None:
        """Back to w, to the bit; in the graph."""
        for variable, weight in zip(self._variables, self.weights, strict=True):
            variable.assign(weight)

    def leave(self) -> None:
        """Back to w, between two blocks."""
        self._return()

    def _look_at(
        self,
        x: Any,
        y: Any,
        step: Any,
        group: Any,
        weight: Any,
        inside: Any,
        first: bool,
        last: bool,
        opens: bool,
    ) -> None:
        gradients, counts = self._passes.first(x, y, step, group, weight, first, last)
        self._counts.assign_add(counts)
        for total, gradient in zip(self._sums, gradients, strict=True):
            if gradient is not None:
                part = tf.cast(inside, total.dtype) * tf.convert_to_tensor(gradient)
                total.assign(part) if opens else total.assign_add(part)

    def _rise_from(self, share: Any, spans: bool, start: int, stop: int, empty: bool) -> None:
        sums = [zeros(v.shape, v.dtype) if empty else tf.convert_to_tensor(v) for v in self._sums]
        if spans and (start, stop) == (0, hvd.size()):
            sums = self._optimizer.reducer.reduce(sums, share)
        elif spans:
            sums = self._exchange.reduce(sums, share, range(start, stop))
        for weight, variable in zip(self.weights, self._variables, strict=True):
            weight.assign(variable)
        self._spoiled.assign(self._climb(sums))
