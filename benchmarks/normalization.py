"""Time of ResNet-50's forward and backward pass by its batch normalization: plain, ghost, synchronized alone.

    python benchmarks/normalization.py [--batch 16] [--group 4] [--size 64] [--steps 30]

The kinds take turns, step by step, in one process, so that other load on the machine meets all alike; a ratio
is that to the plain pass of the same turn. Images are random; gradients of all 161 variables, no update.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from horovod_lb import models
from horovod_lb.training.loss import cross_entropy

PLAIN = "plain"


def make_pass(x: Any, y: Any, **words: Any) -> Callable[[], None]:
    """One forward and backward pass in training mode; returns when it is done."""
    model = models.build("resnet50", classes=1000, shape=x.shape[1:], **words)
    images, labels = tf.constant(x), tf.constant(y)

    @tf.function
    def both(images: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(cross_entropy(labels, model(images, training=True)))
        return tf.add_n([tf.reduce_sum(g) for g in tape.gradient(value, model.trainable_variables)])

    def once() -> None:
        float(both(images, labels))

    return once


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--group", type=int, default=4, help="examples of a ghost group")
    parser.add_argument("--size", type=int, default=64, help="pixels of an image's side")
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    stream = np.random.default_rng(0)
    x = stream.random((options.batch, options.size, options.size, 3), "float32")
    y = stream.integers(0, 1000, options.batch)
    kinds: dict[str, dict[str, Any]] = {
        PLAIN: {},
        f"ghost of {options.group}": {"batch_norm": "ghost", "group_size": options.group},
        f"ghost of {options.batch}": {"batch_norm": "ghost", "group_size": options.batch},
        "sync, alone": {"batch_norm": "sync"},
    }
    passes = {name: make_pass(x, y, **words) for name, words in kinds.items()}
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    for number in range(options.steps + 2):
        for name, once in passes.items():
            began = time.perf_counter()
            once()
            if number >= 2:
                seconds[name].append(time.perf_counter() - began)
    print(f"resnet50, {options.batch} images of {options.size} × {options.size}, median of {options.steps}")
    print("| batch norm | ms, median (range) | / plain, median (range) |")
    print("| --- | --- | --- |")
    for name, times in seconds.items():
        ratios = [one / other for one, other in zip(times, seconds[PLAIN], strict=True)]
        print(f"| {name} | {spread([1e3 * value for value in times], 0)} | {spread(ratios, 2)} |")


def spread(values: list[float], digits: int) -> str:
    """Median and range."""
    low, middle, high = (f"{v:.{digits}f}" for v in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low}–{high})"


if __name__ == "__main__":
    main()
