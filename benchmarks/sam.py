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
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

import horovod_lb as hlb
from horovod_lb.optimizers import MomentumSGD
from horovod_lb.training.step import TrainingStep

PLAIN = "plain"


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
    stream = np.random.default_rng(0)
    part = options.batch // options.groups
    groups = [
        (stream.random((part, *shape), "float32"), stream.integers(0, classes, part))
        for _ in range(options.groups)
    ]
    steps = {}
    for name, sam in kinds(options.groups).items():
        optimizer = hlb.DistributedOptimizer(MomentumSGD(1e-3))
        optimizer.build(model.trainable_variables)
        steps[name] = TrainingStep(model, optimizer, sam=sam, groups=options.groups)
    wall: dict[str, list[float]] = {name: [] for name in steps}
    cpu: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(options.steps + 2):
        for name, step in steps.items():
            began = time.perf_counter(), time.process_time()
            step(number, groups, 0, part * options.groups, 1)
            if number >= 2:
                wall[name].append(time.perf_counter() - began[0])
                cpu[name].append(time.process_time() - began[1])
    count = len(model.trainable_variables)
    print(f"{options.model}, {count} variables, {part * options.groups} examples in {options.groups} groups")
    print(f"| step | ms, median (range) of {options.steps} | / plain | CPU ms | CPU / plain |")
    print("| --- | --- | --- | --- | --- |")
    for name in steps:
        cells = [cell for times in (wall, cpu) for cell in (milliseconds(times[name]), ratio(times, name))]
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
