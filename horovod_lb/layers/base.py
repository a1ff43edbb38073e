"""Batch normalization whose moments come from elsewhere than from the batch at hand."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from horovod_lb.parameters import flag, not_negative, up_to_one, whole

OPTIONS: dict[str, Callable[[str, Any], Any]] = {
    "axis": whole,
    "momentum": up_to_one,
    "epsilon": not_negative,
    "center": flag,
    "scale": flag,
}
"""Keras' own options that Keras takes as they are."""


class GroupedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` with moments of its own in training; evaluation is the same.

    Computed in float32 at least. The moving averages take `momentum * old + (1 - momentum) * new`, the new
    variance being the biased one, as in Keras, or with `unbiased=True` Bessel's n/(n - 1) times it, as in
    PyTorch and TensorFlow's fused layer. Masks and renormalization are refused.
    """

    def __init__(self, *, unbiased: bool = False, **kwargs: Any) -> None:
        for name in ("renorm", "synchronized"):
            if kwargs.pop(name, False):
                raise ValueError(f"{type(self).__name__}: {name} is not for this layer")
        for name in ("renorm_clipping", "renorm_momentum"):
            kwargs.pop(name, None)
        for name, check in OPTIONS.items():
            if name in kwargs:
                kwargs[name] = check(name, kwargs[name])
        super().__init__(**kwargs)
        self.unbiased = flag("unbiased", unbiased)
        self.supports_masking = False

    @abstractmethod
    def moments(self, x: Any) -> tuple[Any, Any, Any, Any]:
        """Mean and biased variance as they broadcast against `x`, and the new ones [C] to average."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """`inputs`, [N, ..., C] by default, normalized; the same shape, the layer's dtype."""
        if mask is not None:
            raise ValueError(f"{type(self).__name__}: masks are not for this layer")
        if not (training and self.trainable):
            return super().call(inputs, training=False)
        x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        mean, variance, new_mean, new_variance = self.moments(x)
        for average, new in ((self.moving_mean, new_mean), (self.moving_variance, new_variance)):
            new = ops.cast(ops.stop_gradient(new), average.dtype)
            average.assign(average * self.momentum + new * (1.0 - self.momentum))
        scale = ops.rsqrt(variance + self.epsilon)
        if self.scale:
            scale = scale * self._channels(self.gamma, x)
        outputs = (x - mean) * scale
        if self.center:
            outputs = outputs + self._channels(self.beta, x)
        return ops.cast(outputs, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Everything `from_config` needs."""
        config = super().get_config()
        for name in ("renorm", "renorm_clipping", "renorm_momentum", "synchronized"):
            config.pop(name, None)
        return {**config, "unbiased": self.unbiased}

    def _channels(self, values: Any, x: Any) -> Any:
        """Values [C] as they broadcast against `x`."""
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        return ops.reshape(ops.cast(values, x.dtype), shape)

    def _positions(self, x: Any) -> tuple[int, ...]:
        """The axes of `x` that are neither examples nor channels."""
        channels = self.axis % len(x.shape)
        return tuple(axis for axis in range(1, len(x.shape)) if axis != channels)

    def _positions_count(self, x: Any) -> float:
        """Values of a channel in one example."""
        count = 1
        for axis in self._positions(x):
            count *= ops.shape(x)[axis]
        return count

    def _bessel(self, count: Any) -> Any:
        """What the new variance is multiplied with; 1 for a single value, whose variance is 0."""
        if not self.unbiased:
            return ops.ones_like(count)
        return count / ops.maximum(count - 1.0, 1.0)
