"""A loss scale that stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops
from keras.optimizers import LossScaleOptimizer, Optimizer

from horovod_lb.parameters import positive


@keras.saving.register_keras_serializable(package="horovod_lb")
class FixedLossScale(LossScaleOptimizer):
    """The loss is multiplied by `scale`, and the gradients are divided by it before the inner optimizer.

    A step whose gradients are not finite is skipped; the scale stays. `keras.optimizers.LossScaleOptimizer`,
    the dynamic one, halves and doubles it; `loss_scale_factor` of a Keras optimizer does not look at the
    gradients.

    Args:
        optimizer: a Keras optimizer, or its name.
        scale: > 0.
    """

    def __init__(self, optimizer: Optimizer | str, scale: float, name: str | None = None) -> None:
        super().__init__(keras.optimizers.get(optimizer), initial_scale=positive("scale", scale), name=name)

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """The inner optimizer's step with the gradients' own size, if they are finite."""
        if not self.built:
            self.build(list(trainable_variables or []))
        ops.cond(
            self.check_finite(grads),
            lambda: self.inner_optimizer.apply(
                [None if g is None else ops.divide(g, self.initial_scale) for g in grads], trainable_variables
            ),
            lambda: None,
        )

    def scale_loss(self, loss: Any) -> Any:
        """The loss times the scale."""
        return ops.multiply(loss, self.initial_scale)

    def get_config(self) -> dict[str, Any]:
        """Everything `from_config` needs, the inner optimizer included."""
        config = super().get_config()
        return {"name": self.name, "inner_optimizer": config["inner_optimizer"], "scale": self.initial_scale}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """Rebuild the wrapper and its inner optimizer."""
        config = dict(config)
        inner = config.pop("inner_optimizer")
        return cls(keras.saving.deserialize_keras_object(inner, custom_objects=custom_objects), **config)
