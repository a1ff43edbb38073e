"""Record what optax's sharpness-aware minimization does to a small network in 50 steps, as sam.npz.

    python tests/oracles/record_sam.py

A network of every rank of variable, on a batch of its own each step, in float64. Examples, weights to begin
with and the rates are random, and in the file; answers are the weights after the first and then every
seventh step. Of the two forms of `optax.contrib.sam` this is `opaque_mode=True`: one update a step, which
asks for the second gradient itself, on the same batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

STEPS, BATCH, INPUTS, HIDDEN, OUTPUTS, SEED = 50, 8, 5, 6, 3, 22
SHAPES: dict[str, tuple[int, ...]] = {
    "scale": (),
    "kernel": (INPUTS, HIDDEN),
    "bias": (HIDDEN,),
    "zero": (HIDDEN, OUTPUTS),  # begins at 0
    "cube": (HIDDEN, 2, OUTPUTS),
    "idle": (2, 2),  # in no output: its gradient is 0
    "frozen": (OUTPUTS,),  # not trained: no part of ε
}
FROZEN = ("frozen",)
CASES: dict[str, dict[str, Any]] = {
    "sgd": {"of": "sgd", "rho": 0.1},
    "sgd-far": {"of": "sgd", "rho": 1.0},
    "momentum": {"of": "sgd", "rho": 0.2, "momentum": 0.9},
    "nesterov": {"of": "sgd", "rho": 0.2, "momentum": 0.8, "nesterov": True},
    "adam": {"of": "adam", "rho": 0.2, "eps": 1e-12},
}
Arrays = dict[str, Any]


def problem() -> tuple[Arrays, Arrays]:
    """Weights, and examples and rates of all steps: float32."""
    stream = np.random.default_rng(SEED)
    weights = {name: stream.normal(0, 0.6, shape).astype("float32") for name, shape in SHAPES.items()}
    weights = {name: np.asarray(value, "float32") for name, value in weights.items()}
    weights["zero"] *= 0
    x = stream.normal(size=(STEPS, BATCH, INPUTS))
    y = np.tanh(x @ stream.normal(size=(INPUTS, OUTPUTS)))
    rates = 10 ** stream.uniform(-2.5, -1, STEPS)
    given = {"x": x, "y": y, "rates": rates}
    return weights, {name: value.astype("float32") for name, value in given.items()}


def loss(trained: Arrays, frozen: Arrays, x: Any, y: Any) -> Any:
    """Of one batch."""
    w = {**trained, **frozen}
    hidden = jnp.tanh(x @ w["kernel"] + w["bias"])
    cube = jnp.einsum("nh,hko->nko", hidden, w["cube"]).prod(1)
    outputs = (w["scale"] * hidden) @ w["zero"] + cube + w["frozen"] + 0.0 * w["idle"].sum()
    return jnp.mean((outputs - y) ** 2)


def answer(case: dict[str, Any]) -> np.ndarray:
    """float64 [steps kept, numbers]: the trained variables end to end."""
    weights, given = problem()
    exact = {name: jnp.asarray(value, "float64") for name, value in weights.items()}
    frozen = {name: exact.pop(name) for name in FROZEN}
    options = dict(case)
    make: Callable[..., Any] = getattr(optax, options.pop("of"))
    rates = jnp.asarray(given["rates"], "float64")
    around = optax.chain(optax.contrib.normalize(), optax.sgd(options.pop("rho")))
    optimizer = optax.contrib.sam(make(lambda step: rates[step], **options), around, opaque_mode=True)
    state, kept = optimizer.init(exact), []
    gradient = jax.jit(jax.grad(loss))
    for step in range(STEPS):
        batch = [jnp.asarray(given[name][step], "float64") for name in ("x", "y")]
        updates, state = optimizer.update(
            gradient(exact, frozen, *batch),
            state,
            exact,
            grad_fn=lambda values, _, batch=batch: gradient(values, frozen, *batch),
        )
        exact = optax.apply_updates(exact, updates)
        if step % 7 == 0:
            kept.append(np.concatenate([np.ravel(exact[name]) for name in SHAPES if name not in FROZEN]))
    return np.array(kept)


def main() -> None:
    """Write the file."""
    jax.config.update("jax_enable_x64", True)
    weights, given = problem()
    made = {"optax": optax.__version__, "jax": jax.__version__, "numpy": np.__version__}
    about = json.dumps({"versions": made, "cases": CASES, "frozen": FROZEN}, sort_keys=True)
    arrays = {f"weights/{name}": value for name, value in weights.items()}
    arrays |= {f"answers/{name}": answer(case) for name, case in CASES.items()}
    target = Path(__file__).with_name("sam.npz")
    np.savez_compressed(target, about=np.array(about), **given, **arrays)
    print(f"{target}: {len(CASES)} cases by {made}")


if __name__ == "__main__":
    main()
