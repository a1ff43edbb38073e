"""The shortcut without weights between stages of different width."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from horovod_lb.parameters import whole


@keras.saving.register_keras_serializable(package="horovod_lb")
class PaddedShortcut(keras.layers.Layer):
    """Every `stride`-th position, and zeros for the channels that are new: He et al. 2015, option A.

    Args:
        filters: channels of the output, at least those of the input [N, H, W, C].
        stride: at least 1.
    """

    def __init__(self, filters: int, stride: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters, self.stride = whole("filters", filters, 1), whole("stride", stride, 1)

    def call(self, inputs: Any) -> Any:
        """[N, ceil(H / stride), ceil(W / stride), filters]."""
        x = inputs[:, :: self.stride, :: self.stride, :]
        return ops.pad(x, [(0, 0), (0, 0), (0, 0), (0, self.filters - inputs.shape[-1])])

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """As `call` has it."""
        examples, *sides, _ = input_shape
        reached = [None if side is None else -(-side // self.stride) for side in sides]
        return (examples, *reached, self.filters)

    def get_config(self) -> dict[str, Any]:
        """Everything `from_config` needs."""
        return {**super().get_config(), "filters": self.filters, "stride": self.stride}
