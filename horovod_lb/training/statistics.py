"""Moving statistics of normalization layers: all groups of a step enter as their mean, on every rank."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import horovod.tensorflow as hvd
import tensorflow as tf

from horovod_lb.distributed.broadcast import is_random_state


class MovingStatistics:
    """The float state of a model that is not trained (batch-norm means and variances).

    Every group starts from the state at the beginning of the step, and the mean over the groups of all ranks,
    weighted by their examples, is kept. So the state is the same on every rank after every step: it can be
    saved at any of them, and looking at it changes nothing. The ranks' parts of the mean travel with the
    loss and the counts of the step, see `changes` and `settle`.
    """

    def __init__(self, model: Any) -> None:
        self._variables = moving_state(model)
        self._sizes = [int(tf.size(variable)) for variable in self._variables]
        self._origins = [tf.Variable(v, trainable=False) for v in self._variables]
        self._sums = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self._variables]

    def group(self, run: Callable[[], Any], weight: Any, first: bool, last: bool) -> Any:
        """Run one group's forward pass, `weight` being its part of this rank's examples; in the graph."""
        if not self._variables or (first and last and hvd.size() == 1):
            return run()
        for variable, origin, total in zip(self._variables, self._origins, self._sums, strict=True):
            if first:
                origin.assign(variable)
                total.assign(tf.zeros_like(total))
            else:
                variable.assign(origin)
        result = run()
        for variable, origin, total in zip(self._variables, self._origins, self._sums, strict=True):
            total.assign_add(tf.cast(weight, total.dtype) * (tf.convert_to_tensor(variable) - origin))
            if last:
                variable.assign(origin + total)
        return result

    @property
    def size(self) -> int:
        """How many numbers the ranks exchange in a step: none on a single rank."""
        return sum(self._sizes) if hvd.size() > 1 else 0

    def changes(self, share: Any, absent: bool) -> Any:
        """This rank's part of the step's change, float32 [size]; in the graph, after the last group.

        `share`: this rank's part of the examples of the step; `absent`: it had none.
        """
        if not self.size or absent:
            return tf.zeros([self.size])
        parts = [tf.reshape(tf.cast(total, tf.float32), [-1]) for total in self._sums]
        return share * tf.concat(parts, 0)

    def settle(self, changes: Any, absent: bool) -> None:
        """Make the state what it was before the step plus `changes`, the sum over the ranks."""
        if not self.size:
            return
        for variable, origin, change in zip(
            self._variables, self._origins, tf.split(changes, self._sizes), strict=True
        ):
            before = tf.convert_to_tensor(variable) if absent else origin
            variable.assign(before + tf.cast(tf.reshape(change, before.shape), before.dtype))


def moving_state(model: Any) -> list[Any]:
    """The float variables of `model` that its layers update by themselves: no weights, frozen or not."""
    weights = {id(weight) for layer in model._flatten_layers() for weight in layer._trainable_variables}
    return [
        variable
        for variable in model.non_trainable_variables
        if id(variable) not in weights
        and not is_random_state(variable)
        and tf.as_dtype(variable.dtype).is_floating
    ]
