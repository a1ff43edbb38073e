"""Time of a learning rate: the table of a whole run, and one lookup in the graph, for every kind of schedule.

    python benchmarks/schedules.py [--steps 100000]

The table is made once, before training; the lookup happens in every step. Beside them stands one update of
LeNet-5's 10 variables by `MomentumSGD` at a constant rate and at the recipe's, by turns.
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
import tensorflow as tf

import horovod_lb as hlb
from horovod_lb.recipe import resolve
from horovod_lb.study.model import Recipe

BATCH, EPOCHS = 256, 100
SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {},
    "step": {"epochs": [30, 60, 80]},
    "polynomial": {},
    "cosine": {},
    "cosine_restarts": {"cycles": 10},
    "cyclical": {"low": 0.01, "cycle_epochs": 10},
    "exponential": {"factor": 0.97, "every_epochs": 2.4},
}


def recipe(kind: str) -> dict[str, Any]:
    """100 epochs with five of warmup."""
    stated = {
        "batch_size": BATCH,
        "groups": 1,
        "epochs": EPOCHS,
        "reference": {"learning_rate": 0.1},
        "warmup": {"epochs": 5, "start": "zero"},
        "schedule": {"kind": kind, **SCHEDULES[kind]},
    }
    return Recipe.model_validate(stated).model_dump()


def milliseconds(call: Callable[[], Any]) -> float:
    """The time of one call."""
    began = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - began)


def update(rate: Any) -> Callable[[], Any]:
    """One update of LeNet-5 with gradients of zero, compiled."""
    variables = [keras.Variable(v.numpy()) for v in hlb.models.build("lenet5").trainable_variables]
    optimizer = hlb.MomentumSGD(rate)
    optimizer.build(variables)
    gradients = [tf.zeros(v.shape) for v in variables]
    return tf.function(lambda: optimizer.apply(gradients, variables))


def updates(examples: int, turns: int) -> tuple[float, float]:
    """Medians of one update in ms: at a constant rate, and at the recipe's."""
    calls = [update(rate) for rate in (0.1, hlb.RecipeSchedule(recipe("cosine"), examples))]
    times: list[list[float]] = [[], []]
    for _ in range(turns):
        for call, found in zip(calls, times, strict=True):
            found.append(milliseconds(call))
    constant, scheduled = (statistics.median(found[5:]) for found in times)
    return constant, scheduled


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000)
    steps = parser.parse_args().steps
    examples = steps * BATCH // EPOCHS
    print("| schedule | table of all steps, ms |\n| --- | --- |")
    for kind in SCHEDULES:
        rate = resolve(recipe(kind), examples=examples, workers=1).rate
        print(f"| {kind} | {statistics.median(milliseconds(rate.table) for _ in range(5)):.1f} |")
    constant, scheduled = updates(examples, 200)
    print(f"update of LeNet-5 at a constant rate {constant:.3f} ms, by the table {scheduled:.3f} ms")


if __name__ == "__main__":
    main()
