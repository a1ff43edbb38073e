"""What optimizers around another optimizer share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras.optimizers import Optimizer

from horovod_lb.delegation import Delegation


class Wrapper(Delegation, Optimizer):
    """An optimizer around another one, `inner_optimizer`, which answers what Keras asks of an optimizer.

    Subclasses say what `apply` does.
    """

    def __init__(self, optimizer: Optimizer, name: str) -> None:
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = optimizer

    def build(self, variables: Sequence[Any]) -> None:
        """Create the inner optimizer's state."""
        if self.built:
            return
        self.inner_optimizer.build(variables)
        super().build(variables)

    @property
    def loss_scale_factor(self) -> Any:
        """The inner optimizer's fixed loss scale; `LossScaleOptimizer` sets it to None."""
        return self.inner_optimizer.loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, factor: Any) -> None:
        if "inner_optimizer" in vars(self):  # not yet where Keras' __init__ sets its own
            self.inner_optimizer.loss_scale_factor = factor

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """The inner optimizer's."""
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def get_config(self) -> dict[str, Any]:
        """Name and inner optimizer; subclasses add their own."""
        return {"name": self.name, "optimizer": keras.saving.serialize_keras_object(self.inner_optimizer)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """Rebuild the wrapper and its inner optimizer."""
        config = dict(config)
        inner = keras.saving.deserialize_keras_object(config.pop("optimizer"), custom_objects=custom_objects)
        return cls(inner, **config)
