"""How long a step waits for the gradients of other ranks, measured inside the graph of every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


class Stopwatch:
    """Seconds from the moment at which a rank's own gradients are all there until all reduced ones are.

    That is the part of the all-reduce which the backward pass does not hide: the network's time, and the time
    that slower ranks let this one wait. Two readings of the clock a step, on which no computation depends, so
    a step is what it would be without them.
    """

    def __init__(self) -> None:
        with tf.device("CPU:0"):
            self._seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
            self._arrived = tf.Variable([0.0], trainable=False)

    def __call__(self, own: Sequence[Any], reduced: Sequence[Any]) -> None:
        """In the graph of a step: its `own` dense gradients, and what became of them, in the same order.

        `own[0]` is to be the first layer's, the last that a backward pass makes: on a GPU the host runs ahead
        of it, and knows that a gradient is there when one of its elements has arrived in the host's memory.
        """
        element = tf.cast(tf.reshape(own[0], [-1])[:1], tf.float32)
        with tf.device("CPU:0"):
            with tf.control_dependencies([self._arrived.assign(element), *own]):
                begun = tf.timestamp()
            with tf.control_dependencies([*reduced, begun]):
                ended = tf.timestamp()
            self._seconds.assign_add(ended - begun)

    @property
    def seconds(self) -> float:
        """Of all steps so far."""
        return float(self._seconds)
