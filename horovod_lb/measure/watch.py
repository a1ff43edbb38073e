"""Squared norms of the gradients of a training step: of every group, and of their mean over the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


class GradientWatch:
    """Looks at gradients in the training step's graph; the step adds what `group` returns over all groups.

    Those sums ride along with the loss in an all-reduce that there is anyway, so watching costs the norms and
    no message. Loss scaling is taken out.
    """

    width = 2

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer
        self._square = tf.Variable(0.0, trainable=False)

    def group(self, gradients: Sequence[Any], examples: Any) -> Any:
        """Float32 [2]: n·‖g‖² of a group's mean gradient g over n examples, and 1 for the group itself."""
        square = _square(gradients) * self._unit() ** 2
        return tf.stack([tf.cast(examples, tf.float32) * square, 1.0])

    def __call__(self, gradients: Sequence[Any]) -> None:
        """The reduced gradients of this step."""
        self._square.assign(_square(gradients) * self._unit() ** 2)

    @property
    def reduced_square(self) -> float:
        """‖g‖² of the last step's reduced gradient."""
        return float(self._square.numpy())

    def _unit(self) -> Any:
        return 1.0 / self._optimizer.scale_loss(tf.constant(1.0))


def _square(gradients: Sequence[Any]) -> Any:
    """Σ‖g‖² in float32; None is a variable without a gradient."""
    dense = [tf.convert_to_tensor(gradient) for gradient in gradients if gradient is not None]
    return tf.add_n([2.0 * tf.nn.l2_loss(tf.cast(gradient, tf.float32)) for gradient in dense])
