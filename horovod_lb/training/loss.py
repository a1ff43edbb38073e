"""The classification loss, example by example, and what is counted beside it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

# Columns of the sums that a step and an evaluation return.
LOSS, CORRECT, TOP5, COUNT = range(4)


def cross_entropy(labels: Any, logits: Any, smoothing: float = 0.0) -> Any:
    """−Σ_c q_c log softmax(logits)_c with q = (1 − α)·onehot + α/K, as Szegedy et al. 2016; float32 [n].

    Args:
        labels: int64 [n].
        logits: [n, K], any float dtype; computed in float32.
        smoothing: α in [0, 1).
    """
    logits = tf.cast(logits, tf.float32)
    plain = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    if not smoothing:
        return plain
    uniform = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=-1)
    return (1.0 - smoothing) * plain + smoothing * uniform


def count(labels: Any, logits: Any, losses: Any) -> Any:
    """float32 [4]: sum of the losses, correct at the first guess, among the first five, examples."""
    hit = tf.cast(tf.argmax(logits, -1), labels.dtype) == labels
    top5 = tf.nn.in_top_k(labels, tf.cast(logits, tf.float32), min(5, logits.shape[-1]))
    return tf.stack(
        [
            tf.reduce_sum(losses),
            tf.reduce_sum(tf.cast(hit, tf.float32)),
            tf.reduce_sum(tf.cast(top5, tf.float32)),
            tf.cast(tf.size(labels), tf.float32),
        ]
    )
