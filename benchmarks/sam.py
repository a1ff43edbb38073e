"""Time of a training step with sharpness-aware minimization, against the plain step.

    python benchmarks/sam.py [--model resnet50 | lenet5] [--batch 8] [--groups 1] [--steps 10] [--size 160]

Whole steps of a study on one rank: forward and backward passes, reduction, update by momentum SGD. The kinds
take turns, step by step, in one process, so that other load on the machine meets all alike; a ratio is that
to the plain step of the same turn. CPU time leaves out what other programs take of the cores. Images are
random.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

import horovod_lb as hlb
from horovod_lb.data.portion import Group
from horovod_lb.optimizers import MomentumSGD
from horovod_lb.training.step import TrainingStep

PLAIN = "plain"
Times = tuple[dict[str, list[float]], dict[str, list[float]]]


def kinds(groups: int) -> dict[str, dict[str, Any] | None]:
    """`recipe.sam` of each kind; None: the plain step."""
    sam = {"rho": 0.05, "group": "worker", "adaptive": False, "decay_at": "w"}
    found = {PLAIN: None, "SAM": sam, "ASAM": {**sam, "adaptive": True}}
    return {**found, "SAM, global": {**sam, "group": "global"}} if groups > 1 else found


def network(name: str, size: int) -> tuple[Any, tuple[int, ...], int]:
    """A model, the shape of an example, and the number of classes."""
    shape, classes = ((28, 28, 1), 10) if name == "lenet5" else ((size, size, 3), 1000)
    return hlb.models.build(name, classes=classes, shape=shape), shape, classes


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", choices=("resnet50", "lenet5"), default="resnet50")
    parser.add_argument("--batch", type=int, default=8, help="examples of a step")
    parser.add_argument("--groups", type=int, default=1, help="groups that the batch is cut into")
    parser.add_argument("--size", type=int, default=160, help="pixels of an image's side, resnet50 only")
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    hlb.init()
    model, shape, classes = network(options.model, options.size)
    groups = examples(options, shape, classes)
    steps = {}
    for name, sam in kinds(options.groups).items():
        optimizer = hlb.DistributedOptimizer(MomentumSGD(1e-3))
        optimizer.build(model.trainable_variables)
        steps[name] = TrainingStep(model, optimizer, sam=sam, groups=options.groups)
    report(options, model, take_turns(steps, groups, options.steps))


def examples(options: argparse.Namespace, shape: Sequence[int], classes: int) -> list[Group]:
    """Random images and labels, in groups."""
    stream, part = np.random.default_rng(0), options.batch // options.groups
    return [
        (stream.random((part, *shape), "float32"), stream.integers(0, classes, part))
        for _ in range(options.groups)
    ]


def take_turns(steps: Mapping[str, TrainingStep], groups: Sequence[Group], count: int) -> Times:
    """Seconds by the clock and of the processor of `count` steps of each kind, after two more."""
    wall: dict[str, list[float]] = {name: [] for name in steps}
    cpu: dict[str, list[float]] = {name: [] for name in steps}
    batch = sum(len(y) for _, y in groups)
    for number in range(count + 2):
        for name, step in steps.items():
            began = time.perf_counter(), time.process_time()
            step(number, groups, 0, batch, 1)
            if number >= 2:
                wall[name].append(time.perf_counter() - began[0])
                cpu[name].append(time.process_time() - began[1])
    return wall, cpu


def report(options: argparse.Namespace, model: Any, times: Times) -> None:
    """Print the table."""
    count, batch = len(model.trainable_variables), options.batch // options.groups * options.groups
    print(f"{options.model}, {count} variables, {batch} examples in {options.groups} groups")
    print(f"load of the machine: {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores")
    print(f"| step | ms, median (range) of {options.steps} | / plain | CPU ms | CPU / plain |")
    print("| --- | --- | --- | --- | --- |")
    for name in times[0]:
        cells = [cell for found in times for cell in (milliseconds(found[name]), ratio(found, name))]
        print(f"| {name} | {' | '.join(cells)} |")


def milliseconds(seconds: list[float]) -> str:
    """Median and range."""
    return spread([1e3 * value for value in seconds], 0)


def ratio(seconds: dict[str, list[float]], name: str) -> str:
    """Median and range of the ratios to the plain step, turn by turn."""
    return spread([one / other for one, other in zip(seconds[name], seconds[PLAIN], strict=True)], 2)


def spread(values: list[float], digits: int) -> str:
    """Median and range."""
    low, middle, high = (f"{v:.{digits}f}" for v in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low}–{high})"


if __name__ == "__main__":
    main()
