"""Steps of an optimizer on given gradients, by whatever Keras backend runs, and the recorded answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

RECORDED = Path(__file__).parents[1] / "oracles" / "optimizers.npz"


@keras.saving.register_keras_serializable(package="steps")
class Table(keras.optimizers.schedules.LearningRateSchedule):
    """Any sequence of rates."""

    def __init__(self, rates: Any) -> None:
        self.rates = np.asarray(rates, "float32")

    def __call__(self, step: Any) -> Any:
        return keras.ops.take(keras.ops.convert_to_tensor(self.rates), keras.ops.cast(step, "int32"))

    def get_config(self) -> dict[str, Any]:
        return {"rates": self.rates.tolist()}


def problem(seed: int = 3, steps: int = 12) -> tuple[dict[str, Any], list[dict[str, Any]], np.ndarray]:
    """Weights of ranks 0 to 4 (one begins at 0, one has no gradient but 0), gradients, rates."""
    stream = np.random.default_rng(seed)
    shapes = {
        "scalar": (),
        "vector": (5,),
        "kernel": (4, 5),
        "filters": (2, 2, 3, 4),
        "zero": (3,),
        "idle": (2, 2),
    }
    weights = {name: np.asarray(stream.normal(size=shape), "float32") for name, shape in shapes.items()}
    weights["zero"] *= 0
    gradients = [
        {name: np.asarray(stream.normal(size=shape), "float32") for name, shape in shapes.items()}
        for _ in range(steps)
    ]
    for step in gradients:
        step["idle"] *= 0
        step["kernel"] *= 1e-3
        step["filters"] *= 1e3
    return weights, gradients, (10 ** stream.uniform(-3, -1, steps)).astype("float32")


def recorded() -> tuple[dict[str, Any], list[dict[str, Any]], np.ndarray, dict[str, Any], dict[str, Any]]:
    """What `tests/oracles/record_optimizers.py` wrote: weights, gradients, rates, cases, answers by case."""
    with np.load(RECORDED) as file:
        names = [key.partition("/")[2] for key in file.files if key.startswith("weights/")]
        weights = {name: file[f"weights/{name}"] for name in names}
        stacked = {name: file[f"gradients/{name}"] for name in names}
        cases = json.loads(str(file["about"]))["cases"]
        answers = {case: file[f"answers/{case}"] for case in cases}
        rates = file["rates"]
    gradients = [{name: stacked[name][step] for name in names} for step in range(len(rates))]
    return weights, gradients, rates, cases, answers


def run(
    optimizer: Any,
    weights: dict[str, Any],
    gradients: Sequence[dict[str, Any]],
    graph: bool = True,
    dtype: str = "float32",
) -> list[dict[str, np.ndarray]]:
    """The weights after every step; `graph`: compiled by the backend, without XLA in TensorFlow."""
    variables = [keras.Variable(value, name=name, dtype=dtype) for name, value in weights.items()]
    optimizer.build(variables)
    step = _compiled(optimizer, variables) if graph else lambda grads: optimizer.apply(grads, variables)
    found = []
    for gradient in gradients:
        step([keras.ops.convert_to_tensor(np.asarray(gradient[v.name], dtype)) for v in variables])
        found.append({v.name: keras.ops.convert_to_numpy(v).astype("float64") for v in variables})
    return found


def _compiled(optimizer: Any, variables: list[Any]) -> Any:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(lambda grads: optimizer.apply(grads, variables))
    import jax

    stateless = jax.jit(optimizer.stateless_apply)

    def step(grads: list[Any]) -> None:
        own = optimizer.variables
        new, state = stateless([v.value for v in own], grads, [v.value for v in variables])
        for variable, value in zip([*variables, *own], [*new, *state], strict=True):
            variable.assign(value)

    return step


def distance(
    found: dict[str, np.ndarray], expected: dict[str, np.ndarray], start: dict[str, Any] | None = None
) -> float:
    """The largest ‖a − b‖/‖b‖ over the variables; with `start`, b may have shrunk from there."""
    assert found.keys() == expected.keys()
    size = {name: float(np.linalg.norm(value)) for name, value in expected.items()}
    if start is not None:
        size = {name: max(value, float(np.linalg.norm(start[name]))) for name, value in size.items()}
    return max(float(np.linalg.norm(found[name] - expected[name])) / max(size[name], 1e-30) for name in found)


def unpacked(row: np.ndarray, weights: dict[str, Any]) -> dict[str, np.ndarray]:
    """One row of the recorded answers by variable."""
    cuts = np.cumsum([np.size(value) for value in weights.values()])[:-1]
    parts = np.split(row, cuts)
    return {name: part.reshape(np.shape(weights[name])) for name, part in zip(weights, parts, strict=True)}
