"""Time of batch normalization over groups, forward and backward, against Keras' own layer.

    python benchmarks/normalization_layers.py [--examples 64] [--turns 15]

On activations of ResNet-50, in one thread and one process. The layers take turns, so that other load on the
machine meets all alike; a ratio is that to the plain layer of the same turn. CPU time leaves out what other
programs take of the cores. `sync` is alone: what it computes, without its two sums over the ranks.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from sam import PLAIN, ratio, spread

import horovod_lb as hlb

# Side and channels of what the first stage, the second, the third and the last one normalize.
SHAPES = ((56, 64), (28, 128), (14, 1024), (7, 2048))


def layers(examples: int) -> dict[str, Any]:
    """The plain layer first; a ghost group that divides the batch, one that leaves a remainder."""
    part = examples // 2
    return {
        PLAIN: keras.layers.BatchNormalization(),
        f"ghost, groups of {part}": hlb.GhostBatchNormalization(part),
        f"ghost, groups of {part // 4}": hlb.GhostBatchNormalization(part // 4),
        f"ghost, groups of {part - 5}": hlb.GhostBatchNormalization(part - 5),
        "sync": hlb.SyncBatchNormalization(),
    }


def both_ways(layer: Any, shape: tuple[int, ...]) -> Callable[[Any, Any], Any]:
    """A function of inputs and the gradient of the outputs: gradients of inputs and weights."""
    layer.build((None, *shape[1:]))

    @tf.function
    def run(x: Any, upstream: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return tape.gradient(y, [x, *layer.trainable_variables], upstream)

    return run


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--examples", type=int, default=64, help="of the batch")
    parser.add_argument("--turns", type=int, default=15)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    names = list(layers(options.examples))
    print(f"batch of {options.examples}, CPU ms of {options.turns} turns: median (range)\n")
    print("| activations | plain, ms | " + " | ".join(f"{name} / plain" for name in names[1:]) + " |")
    print("| --- " * (len(names) + 1) + "|")
    for side, channels in SHAPES:
        shape = (options.examples, side, side, channels)
        stream = np.random.default_rng(0)
        x, upstream = (tf.constant(stream.normal(size=shape).astype("float32")) for _ in range(2))
        runs = {name: both_ways(layer, shape) for name, layer in layers(options.examples).items()}
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(options.turns + 2):
            for name, run in runs.items():
                began = time.process_time()
                run(x, upstream)
                if turn >= 2:
                    seconds[name].append(time.process_time() - began)
        cells = [spread([1e3 * value for value in seconds[PLAIN]], 0)]
        cells += [ratio(seconds, name) for name in names[1:]]
        print(f"| {side}×{side}×{channels} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
