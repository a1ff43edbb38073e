"""Record what optax's LARS and LAMB do to some variables in 50 steps, as optimizers.npz beside this file.

    python tests/oracles/record_optimizers.py

Weights, gradients and rates are random, once for all cases, and in the file; answers are the weights after
the first and then every seventh step, in float64, one array a case of all variables put end to end.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

STEPS, SEED = 50, 20


def drawn(count: int) -> dict[str, tuple[int, ...]]:
    """Shapes at random, of rank 0 to 4."""
    stream = np.random.default_rng(SEED + 1)
    ranks = [*range(5), *stream.integers(0, 5, count - 5)]
    return {f"random{i}": tuple(map(int, stream.integers(1, 4, rank))) for i, rank in enumerate(ranks)}


# Rank 0 to 4; `zero` begins at 0, and `idle` never has a gradient that is not 0.
SHAPES: dict[str, tuple[int, ...]] = {
    "scalar": (),
    "single": (1,),
    "vector": (7,),
    "kernel": (5, 7),
    "filters": (3, 3, 2, 4),
    "zero": (4, 3),
    "idle": (3, 2),
    **drawn(8),
}
# Each case: the optax function, its options, and the variables without decay and without a ratio.
CASES: dict[str, dict[str, Any]] = {
    "lars": {"of": "lars", "trust_coefficient": 1.0, "weight_decay": 0.0},
    "lars-decay": {"of": "lars", "trust_coefficient": 1.0, "weight_decay": 0.05},
    "lars-nesterov": {"of": "lars", "trust_coefficient": 0.02, "weight_decay": 0.05, "nesterov": True},
    "lars-epsilon": {
        "of": "lars",
        "trust_coefficient": 0.5,
        "weight_decay": 0.01,
        "eps": 0.3,
        "momentum": 0.5,
    },
    "lars-excluded": {
        "of": "lars",
        "trust_coefficient": 0.5,
        "weight_decay": 0.05,
        "undecayed": ["scalar", "single", "vector", "random3"],
        "unadapted": ["vector", "kernel", "random4"],
    },
    "lamb": {"of": "lamb", "weight_decay": 0.0},
    "lamb-decay": {"of": "lamb", "weight_decay": 0.05},
    "lamb-betas": {"of": "lamb", "weight_decay": 0.01, "b1": 0.8, "b2": 0.95, "eps": 1e-3},
    "lamb-excluded": {"of": "lamb", "weight_decay": 0.3, "undecayed": ["scalar", "single", "vector"]},
}


def problem() -> tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]], np.ndarray]:
    """Weights, a gradient for each step, and the rates: all float32."""
    stream = np.random.default_rng(SEED)
    weights = {name: np.asarray(stream.normal(size=shape), "float32") for name, shape in SHAPES.items()}
    weights["zero"] *= 0
    sizes = {name: 10 ** stream.uniform(-4, 2) for name in SHAPES}
    gradients = [
        {
            name: np.asarray(sizes[name] * stream.normal(size=shape), "float32")
            for name, shape in SHAPES.items()
        }
        for _ in range(STEPS)
    ]
    for step in gradients:
        step["idle"] *= 0
    return weights, gradients, (10 ** stream.uniform(-3, -1, STEPS)).astype("float32")


def answer(case: dict[str, Any]) -> np.ndarray:
    """float64 [steps kept, numbers]."""
    weights, gradients, rates = problem()
    options = dict(case)
    make = getattr(optax, options.pop("of"))
    undecayed, unadapted = options.pop("undecayed", []), options.pop("unadapted", [])
    mask = {name: name not in undecayed for name in weights}
    if make is optax.lars:
        options["weight_decay_mask"] = mask
        options["trust_ratio_mask"] = {name: name not in unadapted for name in weights}
    else:
        options["mask"] = mask
    table = jax.numpy.asarray(rates, "float64")
    optimizer = make(lambda step: table[step], **options)
    values = {name: np.asarray(value, "float64") for name, value in weights.items()}
    state, kept = optimizer.init(values), []
    for step, gradient in enumerate(gradients):
        exact = {name: np.asarray(value, "float64") for name, value in gradient.items()}
        updates, state = optimizer.update(exact, state, values)
        values = optax.apply_updates(values, updates)
        if step % 7 == 0:
            kept.append(np.concatenate([np.ravel(values[name]) for name in SHAPES]))
    return np.array(kept)


def main() -> None:
    """Write the file."""
    jax.config.update("jax_enable_x64", True)
    weights, gradients, rates = problem()
    made = {"optax": optax.__version__, "jax": jax.__version__, "numpy": np.__version__}
    arrays = {f"weights/{name}": value for name, value in weights.items()}
    arrays |= {f"gradients/{name}": np.stack([step[name] for step in gradients]) for name in weights}
    arrays |= {f"answers/{name}": answer(case) for name, case in CASES.items()}
    about = json.dumps({"versions": made, "cases": CASES}, sort_keys=True)
    target = Path(__file__).with_name("optimizers.npz")
    np.savez_compressed(target, rates=rates, about=np.array(about), **arrays)
    print(f"{target}: {len(CASES)} cases by {made}")


if __name__ == "__main__":
    main()
