"""Time of one update of ResNet-50's 161 variables, by optimizer.

    python benchmarks/optimizers.py [--steps 30] [--threads N] [--only NAME ...]

The optimizers take turns, step by step, in one process, so that other load on the machine meets all alike.
Each has variables and gradients of its own: 25.6 million float32 numbers each. Plain `tf.function`, no XLA.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from horovod_lb import models
from horovod_lb.optimizers import LAMB, LARS, LayerWise, MomentumSGD

OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "Keras SGD, momentum": lambda: keras.optimizers.SGD(1e-3, momentum=0.9),
    "Keras Adam": lambda: keras.optimizers.Adam(1e-3),
    "Keras Lamb": lambda: keras.optimizers.Lamb(1e-3),
    "Keras Lamb, decay": lambda: keras.optimizers.Lamb(1e-3, weight_decay=1e-4),
    "MomentumSGD": lambda: MomentumSGD(1e-3),
    "MomentumSGD, clipped": lambda: MomentumSGD(1e-3, global_clipnorm=1.0),
    "MomentumSGD, decoupled decay": lambda: MomentumSGD(1e-3, weight_decay=1e-4),
    "LARS": lambda: LARS(1e-3),
    "LARS, decay": lambda: LARS(1e-3, weight_decay=1e-4),
    "LARS, decay, ratios recorded": lambda: LARS(1e-3, weight_decay=1e-4, record_ratios=True),
    "LAMB": lambda: LAMB(1e-3),
    "LAMB, decay": lambda: LAMB(1e-3, weight_decay=1e-4),
    "LayerWise(SGD), gradient": lambda: LayerWise(keras.optimizers.SGD(1e-3, momentum=0.9), on="gradient"),
    "LayerWise(Adam), update": lambda: LayerWise(keras.optimizers.Adam(1e-3)),
}
ONE, OTHER = "Keras SGD, momentum", "Keras Lamb"


def make_step(make: Callable[[], Any], shapes: list[tuple[int, ...]]) -> Callable[[], None]:
    """One update with gradients that stay the same; returns when it is done."""
    stream = np.random.default_rng(0)
    variables = [keras.Variable(stream.normal(size=shape).astype("float32")) for shape in shapes]
    gradients = [tf.constant(stream.normal(size=shape).astype("float32")) for shape in shapes]
    optimizer = make()
    optimizer.build(variables)

    @tf.function
    def step(gradients: list[tf.Tensor]) -> Any:
        optimizer.apply(gradients, variables)
        return optimizer.iterations

    return lambda: int(step(gradients))


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int, help="of TensorFlow; default: all cores")
    parser.add_argument("--only", nargs="+", choices=OPTIMIZERS, help="beside the two it is compared with")
    options = parser.parse_args()
    if options.threads:
        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
        tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    shapes = [tuple(variable.shape) for variable in models.build("resnet50").trainable_variables]
    assert len(shapes) == 161
    names = [name for name in OPTIMIZERS if not options.only or name in (ONE, OTHER, *options.only)]
    steps = {name: make_step(OPTIMIZERS[name], shapes) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(options.steps + 2):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if number >= 2:
                seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"| update | ms, median (range) of {options.steps} | / {ONE} | / {OTHER} |")
    print("| --- | --- | --- | --- |")
    for name, times in seconds.items():
        spread = f"{1e3 * medians[name]:.0f} ({1e3 * min(times):.0f}–{1e3 * max(times):.0f})"
        ratios = " | ".join(f"{medians[name] / medians[other]:.2f}" for other in (ONE, OTHER))
        print(f"| {name} | {spread} | {ratios} |")


if __name__ == "__main__":
    main()
