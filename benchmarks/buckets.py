"""Step time of a network with ResNet-50's number of weights, by bucket size of the all-reduce.

    mpirun -n 2 python benchmarks/buckets.py

Twenty dense layers of 1130 x 1130 weights (25.5 million, 102 MB of gradients), small batch, so that
communication matters. The sizes take turns, step by step, in one process group.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf

import horovod_lb as hlb

MEGABYTES = (0.5, 1, 2, 4, 8, 16, 32, 64, 128)
ROUNDS = 7


def main() -> None:
    """Measure and print a table."""
    world = hlb.init()
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(1130, activation="relu", use_bias=False) for _ in range(20)]
    model = keras.Sequential([keras.Input((1130,)), *layers])
    x = keras.random.normal((64, 1130), seed=world.rank)
    steps = {size: make_step(model, x, size) for size in MEGABYTES}
    seconds: dict[float, list[float]] = {size: [] for size in MEGABYTES}
    for step in steps.values():
        step()
    for _ in range(ROUNDS):
        for size, step in steps.items():
            began = time.perf_counter()
            step()
            seconds[size].append(time.perf_counter() - began)
    if world.rank == 0:
        for size, times in seconds.items():
            spread = f"{1e3 * min(times):.0f}–{1e3 * max(times):.0f}"
            print(
                f"| buckets of {size:g} MiB | ms a step | {1e3 * statistics.median(times):.0f} ({spread}) |"
            )


def make_step(model: keras.Model, x: tf.Tensor, megabytes: float) -> Callable[[], None]:
    """A training step with its own optimizer; returns when the update is done."""
    optimizer = hlb.DistributedOptimizer(keras.optimizers.SGD(1e-6), bucket_bytes=int(megabytes * 2**20))
    optimizer.build(model.trainable_variables)

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True)))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    return lambda: float(step())


if __name__ == "__main__":
    main()
