"""Time of a training step with noise, a moving average or half precision, against the plain one.

    python benchmarks/noise.py [--model resnet50 | lenet5] [--batch 8] [--groups 1] [--steps 10] [--half]

Whole steps of a study on one rank: forward and backward passes, reduction, update by momentum SGD. The kinds
take turns, step by step, in one process, as in `sam.py`; a ratio is that to the plain step of the same turn.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
from sam import PLAIN, examples, network, report, take_turns

import horovod_lb as hlb
from horovod_lb.optimizers import MomentumSGD
from horovod_lb.study.noise import Noise
from horovod_lb.training.step import TrainingStep

NOISE: dict[str, dict[str, float]] = {
    PLAIN: {},
    "noise on activations": {"activations": 0.1},
    "noise on weights": {"weights": 0.01},
    "noise on gradients": {"gradients": 0.01},
    "noise on labels": {"labels": 0.1},
    "all four": {"activations": 0.1, "weights": 0.01, "gradients": 0.01, "labels": 0.1},
}
AVERAGE = "moving average"
HALF = {"bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def step_of(kind: str, model: Any, groups: int, classes: int) -> TrainingStep:
    """The training step of a kind, with an optimizer of its own."""
    average = {"use_ema": True, "ema_momentum": 0.99} if kind == AVERAGE else {}
    inner: Any = MomentumSGD(1e-3, **average)
    noise = Noise(**NOISE.get(kind, {})).model_dump()
    if noise["gradients"]:
        inner = hlb.GradientNoise(inner, noise["gradients"])
    optimizer = hlb.DistributedOptimizer(inner)
    optimizer.build(model.trainable_variables)
    return TrainingStep(model, optimizer, noise=noise, classes=classes, groups=groups)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", choices=("resnet50", "lenet5"), default="resnet50")
    parser.add_argument("--batch", type=int, default=8, help="examples of a step")
    parser.add_argument("--groups", type=int, default=1, help="groups that the batch is cut into")
    parser.add_argument("--size", type=int, default=160, help="pixels of an image's side, resnet50 only")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--half", action="store_true", help="bfloat16 and float16 too")
    options = parser.parse_args()
    hlb.init()
    model, shape, classes = network(options.model, options.size)
    groups = examples(options, shape, classes)
    steps = {kind: step_of(kind, model, options.groups, classes) for kind in (*NOISE, AVERAGE)}
    for kind, policy in HALF.items() if options.half else ():
        keras.config.set_dtype_policy(policy)
        steps[kind] = step_of(kind, network(options.model, options.size)[0], options.groups, classes)
    keras.config.set_dtype_policy("float32")
    report(options, model, take_turns(steps, groups, options.steps))


if __name__ == "__main__":
    main()
