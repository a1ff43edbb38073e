"""What measurements cost: a step that watches its gradients, and one probe of each kind.

    python benchmarks/measurements.py [--model lenet5 | digits_cnn | resnet50] [--batch B] [--groups G]
    python benchmarks/measurements.py --model resnet50 --batch 16 --groups 2 --size 96 --step-only

One process, random images. Steps with and without the watch take turns, so that other load on the machine
meets both alike; the ratio is taken pair by pair. A probe is timed at its second call, when it is compiled.
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

import horovod_lb as hlb
from horovod_lb.data import Arrays
from horovod_lb.measure import Distance, Hessian, NoiseScale, Sharpness, SignalToNoise
from horovod_lb.training.loss import cross_entropy
from horovod_lb.training.step import TrainingStep

SHAPES = {"lenet5": (28, 28, 1), "digits_cnn": (8, 8, 1), "resnet50": (None, None, 3)}


def seconds(action: Callable[[], Any]) -> float:
    """Of one call."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def network(name: str, x: Any) -> Any:
    """The model, for images as x."""
    return hlb.models.build(name, classes=10, shape=x.shape[1:])


def make_step(name: str, x: Any, y: Any, groups: int, watched: bool) -> Callable[[], Any]:
    """A training step on all of x and y, in `groups` groups."""
    model = network(name, x)
    optimizer = hlb.DistributedOptimizer(keras.optimizers.SGD(1e-3, momentum=0.9))
    noise = NoiseScale() if watched else None
    if noise:
        noise.prepare(model, optimizer)
    optimizer.build(model.trainable_variables)
    step = TrainingStep(model, optimizer, watch=noise.watch if noise else None)
    parts = list(zip(np.split(x, groups), np.split(y, groups), strict=True))

    def one() -> None:
        totals = step(0, parts, 0, len(y), 1)
        if noise:
            noise.add(totals[4:], len(y))

    return one


def compare_steps(options: argparse.Namespace, x: Any, y: Any) -> None:
    """Print a step without and with the watch."""
    plain, watched = (make_step(options.model, x, y, options.groups, on) for on in (False, True))
    pairs = [(seconds(plain), seconds(watched)) for _ in range(options.steps + 2)][2:]
    ratio = statistics.median(b / a for a, b in pairs)
    medians = [1e3 * statistics.median(column) for column in zip(*pairs, strict=True)]
    print(
        f"| step, {options.groups} groups | {medians[0]:.1f} ms | with noise_scale {medians[1]:.1f} ms | "
        f"{ratio:.3f} |"
    )


def time_probes(options: argparse.Namespace, data: Arrays) -> None:
    """Print the seconds of each measurement."""
    model = network(options.model, data.x)
    model.compile(keras.optimizers.SGD(1e-3))
    distance = Distance()
    distance.prepare(model, model.optimizer)
    found: dict[str, Callable[[], Any]] = {"distance, one step": distance.distance}
    probes = {
        "sharpness (φ, 10 iterations, and one SAM step)": Sharpness(data, cross_entropy),
        "hessian (Lanczos, at most 20, and 10 probes)": Hessian(data, cross_entropy),
        "signal_to_noise (8 batches)": SignalToNoise(data, cross_entropy, batch_size=options.batch),
    }
    for name, probe in probes.items():
        probe.set_model(model)
        found[name] = lambda probe=probe: probe.measure(1)
    weights = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    for name, measure in found.items():
        measure()
        print(
            f"| {name}, {len(data):,} examples, {weights:,} weights | {seconds(measure):.3f} s |", flush=True
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", choices=SHAPES, default="lenet5")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--groups", type=int, default=2)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--size", type=int, default=160, help="pixels of an image's side, resnet50 only")
    parser.add_argument("--step-only", action="store_true", help="leave the probes out")
    options = parser.parse_args()
    hlb.init()
    stream = np.random.default_rng(0)
    count = options.batch if options.step_only else max(1024, options.batch)
    shape = [options.size if side is None else side for side in SHAPES[options.model]]
    x = stream.random((count, *shape), "float32")
    y = stream.integers(0, 10, count)
    compare_steps(options, x[: options.batch], y[: options.batch])
    if not options.step_only:
        time_probes(options, Arrays(x, y))


if __name__ == "__main__":
    main()
