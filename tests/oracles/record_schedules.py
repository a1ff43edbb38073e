"""Record the rates of optax's and PyTorch's schedules at every step, as schedules.npz beside this file.

    python tests/oracles/record_schedules.py

Each case is what a recipe says and the rates of another library for it. What the recipe leaves to arithmetic
is worked out here once more, from the words in docs/recipe.md: S = N/B steps an epoch, T = ⌈E·S⌉ steps, T_w
steps of warmup, none of them whole where B does not divide N. optax takes step counts that are not whole.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

EXAMPLES, EPOCHS, PEAK = 1000, 12, 0.4
# Batch size, and the recipe's `warmup`. 100 divides the examples and 96 does not: S = 10 and 10.41666...
WARMUPS: dict[str, tuple[int, dict[str, Any]]] = {
    "none": (100, {"kind": "none", "epochs": 0, "start": "zero"}),
    "gradual": (100, {"kind": "gradual", "epochs": 3.5, "start": "zero"}),
    "gradual-real": (96, {"kind": "gradual", "epochs": 2.3, "start": 0.04}),
    "constant": (96, {"kind": "constant", "epochs": 2.3, "start": 0.1}),
    "cosine": (100, {"kind": "cosine", "epochs": 3.5, "start": 0.1}),
}
RESTARTS = {"kind": "cosine_restarts", "mult": 1, "end": 0.0}
KINDS: dict[str, dict[str, Any]] = {
    "constant": {"kind": "constant"},
    "step": {"kind": "step", "epochs": [4, 8.5, 10], "factor": 0.1},
    "polynomial": {"kind": "polynomial", "power": 2, "end": 0.0},
    "polynomial-root": {"kind": "polynomial", "power": 0.5, "end": 0.004},
    "cosine": {"kind": "cosine", "end": 0.02},
    "restarts-coarse": {**RESTARTS, "cycles": 2},
    "restarts-regular": {**RESTARTS, "cycles": 5},
    "restarts-fine": {**RESTARTS, "cycles": 12},
    "restarts-growing": {**RESTARTS, "cycles": 3, "mult": 2, "end": 0.01},
    "cyclical": {"kind": "cyclical", "low": 0.05, "high": 0.3, "cycle_epochs": 4},
    "exponential": {"kind": "exponential", "factor": 0.5, "every_epochs": 4, "staircase": False},
    "staircase": {"kind": "exponential", "factor": 0.5, "every_epochs": 3.1, "staircase": True},
}
Schedule = Callable[[Any], Any]


def by_optax(options: dict[str, Any], pace: float, length: float) -> Schedule:
    """The rate after so many steps (whole or not) since the schedule began, `length` steps before the end."""
    kind = options["kind"]
    if kind == "constant":
        return optax.constant_schedule(PEAK)
    if kind == "step":
        return optax.piecewise_constant_schedule(
            PEAK, {epoch * pace: options["factor"] for epoch in options["epochs"]}
        )
    if kind == "polynomial":
        return optax.polynomial_schedule(PEAK, options["end"], options["power"], length)
    if kind == "cosine":
        return optax.cosine_decay_schedule(PEAK, length, alpha=options["end"] / PEAK)
    if kind == "cosine_restarts":
        parts = [options["mult"] ** cycle for cycle in range(options["cycles"])]
        one = {"init_value": PEAK, "peak_value": PEAK, "warmup_steps": 0, "end_value": options["end"]}
        return optax.sgdr_schedule([{**one, "decay_steps": length * part / sum(parts)} for part in parts])
    return optax.exponential_decay(
        PEAK, options["every_epochs"] * pace, options["factor"], staircase=options["staircase"]
    )


def by_torch(make: Callable[[Any], Any], rate: float, steps: int) -> np.ndarray:
    """The rates of a PyTorch scheduler, float64[steps]; `rate` is the optimizer's own."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    scheduler, found = make(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(found, "float64")


def triangles(options: dict[str, Any], pace: float) -> Schedule:
    """PyTorch's CyclicLR, for whole steps."""
    half = options["cycle_epochs"] * pace / 2
    rates = by_torch(
        lambda optimizer: torch.optim.lr_scheduler.CyclicLR(
            optimizer, options["low"], options["high"], step_size_up=half, cycle_momentum=False
        ),
        PEAK,
        EPOCHS * math.ceil(pace),
    )
    return lambda counts: jnp.asarray(rates)[jnp.asarray(counts, "int32")]


def warmed(warmup: dict[str, Any], steps: float) -> Schedule:
    """The rate of each step of the warmup."""
    start = 0.0 if warmup["start"] == "zero" else warmup["start"]
    if warmup["kind"] == "constant":
        return optax.constant_schedule(start)
    if warmup["kind"] == "cosine":
        curve = optax.piecewise_interpolate_schedule("cosine", start, {int(steps): PEAK / start})
        return jax.vmap(curve)  # it knows single steps only
    return optax.linear_schedule(start, PEAK, steps)


def answer(warmup: str, kind: str, anchor: str) -> np.ndarray:
    """float64[T]."""
    batch_size, begin = WARMUPS[warmup]
    options = KINDS[kind]
    pace = Fraction(EXAMPLES, batch_size)
    total = math.ceil(EPOCHS * pace)
    steps = Fraction(str(begin["epochs"])) * pace
    offset = steps if anchor == "after_warmup" else Fraction(0)
    schedule = (
        triangles(options, float(pace))
        if kind == "cyclical"
        else by_optax(options, float(pace), float(total - offset))
    )
    counts = jnp.arange(total, dtype="float64")
    if not steps:
        return np.asarray(schedule(counts), "float64") * np.ones(total)
    if anchor == "after_warmup":
        joined = optax.join_schedules([warmed(begin, float(steps)), schedule], [float(steps)])
        return np.asarray(joined(counts), "float64")
    return np.asarray(jnp.where(counts < float(steps), warmed(begin, float(steps))(counts), schedule(counts)))


def once_more() -> dict[str, np.ndarray]:
    """PyTorch's answers without warmup, for the kinds that it has too."""
    of, steps, pace = torch.optim.lr_scheduler, EPOCHS * 10, 10
    makers = {
        "constant": lambda o: of.ConstantLR(o, factor=1.0),
        "step": lambda o: of.MultiStepLR(o, [int(epoch * pace) for epoch in KINDS["step"]["epochs"]], 0.1),
        "polynomial": lambda o: of.PolynomialLR(o, steps, power=2),
        "cosine": lambda o: of.CosineAnnealingLR(o, steps, eta_min=0.02),
        "restarts-coarse": lambda o: of.CosineAnnealingWarmRestarts(o, steps // 2),
        "restarts-regular": lambda o: of.CosineAnnealingWarmRestarts(o, steps // 5),
        "restarts-fine": lambda o: of.CosineAnnealingWarmRestarts(o, steps // 12),
        "exponential": lambda o: of.ExponentialLR(o, 0.5 ** (1 / (4 * pace))),
        "staircase": lambda o: of.StepLR(o, 31, 0.5),
    }
    return {kind: by_torch(make, PEAK, steps) for kind, make in makers.items()}


def main() -> None:
    """Write the file."""
    jax.config.update("jax_enable_x64", True)
    cases: dict[str, dict[str, Any]] = {}
    answers: dict[str, np.ndarray] = {}
    for warmup, (batch_size, begin) in WARMUPS.items():
        for kind, options in KINDS.items():
            if kind == "cyclical" and batch_size == 96:
                continue  # PyTorch counts whole steps
            for anchor in ("zero", "after_warmup") if begin["epochs"] else ("zero",):
                name = f"{kind}/{warmup}/{anchor}"
                schedule = {**options, "anchor": anchor}
                cases[name] = {"batch_size": batch_size, "warmup": begin, "schedule": schedule}
                answers[name] = answer(warmup, kind, anchor)
    for kind, rates in once_more().items():
        name = f"{kind}/none/torch"
        cases[name], answers[name] = cases[f"{kind}/none/zero"], rates
    made = {"optax": optax.__version__, "jax": jax.__version__, "torch": torch.__version__}
    made["numpy"] = np.__version__
    common = {"examples": EXAMPLES, "epochs": EPOCHS, "learning_rate": PEAK}
    about = json.dumps({"versions": made, "common": common, "cases": cases}, sort_keys=True)
    target = Path(__file__).with_name("schedules.npz")
    np.savez_compressed(target, about=np.array(about), **answers)
    print(f"{target}: {len(cases)} cases by {made}")


if __name__ == "__main__":
    main()
