"""SGD with the learning rate inside the momentum buffer, and momentum correction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from horovod_lb.optimizers.checked import CheckedOptimizer
from horovod_lb.parameters import below_one, flag


@keras.saving.register_keras_serializable(package="horovod_lb")
class MomentumSGD(CheckedOptimizer):
    """v ← m·(η_{t+1}/η_t)·v + η_{t+1}·g, w ← w − v: v-form with momentum correction (Goyal et al. 2017, §3).

    The v-form holds the learning rate inside its buffer (Keras' SGD, Caffe2), so after a change of rate the
    history is still in units of the old one; `correction` rescales it, as a graph operation at every step,
    and the updates are those of the u-form (PyTorch: u ← m·u + g, w ← w − η·u) to round-off. With Nesterov
    the factor belongs to the history alone: w ← w − (m·v + η_{t+1}·g) with the new v.

    Where a rate is 0 the ratio has no meaning: the buffer then stays in units of the last rate that was not 0
    (of 1 before any), which again is the u-form exactly. The buffers hold −v, as Keras' SGD holds it.

    Args:
        learning_rate: float, `LearningRateSchedule` or callable.
        momentum: m, in [0, 1).
        nesterov: look ahead.
        correction: rescale the history when the rate changes; without it this is Keras' SGD.
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.9,
        nesterov: bool = False,
        correction: bool = True,
        name: str = "momentum_sgd",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum = below_one("momentum", momentum)
        self.nesterov = flag("nesterov", nesterov)
        self.correction = flag("correction", correction)

    def build(self, variables: Sequence[Any]) -> None:
        """Create a buffer for each variable, of its shape and dtype, and the unit of the buffers."""
        if self.built:
            return
        super().build(variables)
        self.buffers = self.add_optimizer_variables(variables, "momentum")
        self.buffer_rate = self.add_variable(
            shape=(), dtype="float32", initializer="ones", name="buffer_rate"
        )

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Update the variables, then note the rate that the buffers are now in units of."""
        if not self.built:
            self.build(list(trainable_variables or []))
        rate = ops.cast(ops.convert_to_tensor(self.learning_rate), "float32")
        super().apply(grads, trainable_variables)
        if not self.correction:
            return
        changed = ops.not_equal(rate, 0.0)
        if self.gradient_accumulation_steps:
            whole_step = ops.equal(self._iterations % self.gradient_accumulation_steps, 0)
            changed = ops.logical_and(changed, whole_step)
        self.buffer_rate.assign(ops.where(changed, rate, ops.convert_to_tensor(self.buffer_rate)))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One variable's update."""
        self._move(ops.cast(gradient, variable.dtype), variable, learning_rate)

    def _move(self, gradient: Any, variable: Any, learning_rate: Any, ratio: Any = None) -> None:
        """The update by `ratio` · `gradient`; the ratio, a scalar, goes into the buffer with the rate."""
        dtype = variable.dtype
        rate = ops.cast(learning_rate, dtype)
        buffer = self.buffers[self._get_variable_index(variable)]
        momentum = ops.convert_to_tensor(self.momentum, dtype)
        unit, keep = rate, momentum
        if self.correction:
            old_unit = ops.cast(ops.convert_to_tensor(self.buffer_rate), dtype)
            unit = ops.where(ops.not_equal(rate, 0), rate, old_unit)
            keep = ops.multiply(momentum, ops.divide(unit, old_unit))
        factor = unit if ratio is None else ops.multiply(unit, ops.cast(ratio, dtype))
        scaled = ops.multiply(factor, gradient)
        self.assign(buffer, ops.subtract(ops.multiply(keep, buffer), scaled))
        step = ops.convert_to_tensor(buffer)
        if self.nesterov:
            step = ops.subtract(ops.multiply(momentum, step), scaled)
        if self.correction:
            step = ops.multiply(ops.cast(ops.not_equal(rate, 0), dtype), step)
        self.assign_add(variable, step)

    def get_config(self) -> dict[str, Any]:
        """Everything `from_config` needs."""
        config = super().get_config()
        config.update(momentum=self.momentum, nesterov=self.nesterov, correction=self.correction)
        return config
