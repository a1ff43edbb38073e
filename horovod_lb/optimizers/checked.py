"""The options that every Keras optimizer has, refused where they make no sense."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

from keras.optimizers import Optimizer

from horovod_lb.optimizers.kernels import dense
from horovod_lb.parameters import flag, not_negative, optional, positive, up_to_one, whole

OPTIONS: dict[str, Callable[[str, Any], Any]] = {
    "weight_decay": not_negative,
    "clipnorm": positive,
    "clipvalue": positive,
    "global_clipnorm": positive,
    "use_ema": flag,
    "ema_momentum": up_to_one,
    "ema_overwrite_frequency": lambda name, value: whole(name, value, 1),
    "loss_scale_factor": positive,
    "gradient_accumulation_steps": lambda name, value: whole(name, value, 2),
}
NEEDED = ("use_ema", "ema_momentum")
"""Options that None does not turn off."""


class CheckedOptimizer(Optimizer):
    """A Keras optimizer that looks at Keras' own options, and makes gradients dense, before Keras does more.

    ValueError: an option out of its range, with its name.
    """

    def __init__(self, *, learning_rate: Any, **options: Any) -> None:
        for name, check in OPTIONS.items():
            if name in options:
                value = options[name]
                options[name] = check(name, value) if name in NEEDED else optional(check, name, value)
        super().__init__(learning_rate=rate(learning_rate), **options)

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """One step; gradients are dense, slices or None."""
        super().apply(dense(grads), trainable_variables)


def rate(value: Any) -> Any:
    """A learning rate: a schedule or callable as it is, a number as a float. ValueError: neither of them."""
    if callable(value):
        return value
    if isinstance(value, Real):
        return not_negative("learning_rate", value)
    raise ValueError(f"learning_rate must be a number >= 0, a schedule or a callable, not {value!r}")
