"""Moving statistics of normalization layers: a step's groups enter as their mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import horovod.tensorflow as hvd
import numpy as np
import tensorflow as tf

from horovod_lb.distributed.broadcast import is_random_state


class MovingStatistics:
    """The float state of a model that is not trained (batch-norm means and variances).

    Every group starts from the state at the beginning of the step, and the mean over the groups is kept. The
    update is linear, so a rank keeps its own groups' share during training, and the mean over the ranks,
    taken before evaluations and checkpoints, is the state that one rank with all groups would have.
    """

    def __init__(self, model: Any) -> None:
        self._variables = [
            variable
            for variable in model.non_trainable_variables
            if not is_random_state(variable) and tf.as_dtype(variable.dtype).is_floating
        ]
        self._origins = [tf.Variable(v, trainable=False) for v in self._variables]
        self._sums = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self._variables]

    def group(self, run: Callable[[], Any], weight: Any, first: bool, last: bool) -> Any:
        """Run one group's forward pass, `weight` being its part of this rank's examples; in the graph."""
        if not self._variables or (first and last):
            return run()
        for variable, origin, total in zip(self._variables, self._origins, self._sums, strict=True):
            if first:
                origin.assign(variable)
                total.assign(tf.zeros_like(total))
            else:
                variable.assign(origin)
        result = run()
        for variable, origin, total in zip(self._variables, self._origins, self._sums, strict=True):
            # Changes are averaged, not values: frozen weights, which are in the state too, stay to the bit.
            total.assign_add(tf.cast(weight, total.dtype) * (tf.convert_to_tensor(variable) - origin))
            if last:
                variable.assign(origin + total)
        return result

    def begin_unequal_step(self) -> None:
        """Before a step with unequal parts: agree on the state, and remember it; collective."""
        self.average()
        for variable, origin in zip(self._variables, self._origins, strict=True):
            origin.assign(variable)

    def end_unequal_step(self, factor: float) -> None:
        """Weight this rank's change by `factor`, its part of the global batch times the number of ranks."""
        for variable, origin in zip(self._variables, self._origins, strict=True):
            variable.assign(
                origin + tf.cast(factor, origin.dtype) * (tf.convert_to_tensor(variable) - origin)
            )

    def average(self) -> None:
        """Give every rank the mean over the ranks; collective."""
        if hvd.size() == 1:
            return
        for number, variable in enumerate(self._variables):
            mine, name = np.asarray(variable), f"hlb.statistics.{number}"
            first = hvd.broadcast(mine, root_rank=0, name=f"{name}.first").numpy()
            variable.assign(first + hvd.allreduce(mine - first, op=hvd.Average, name=name).numpy())
