"""Study points that the checks train, and one process that trains the same by the book."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from horovod_lb.runs import RunDirectory
from horovod_lb.study.model import Recipe

JOB = Path(__file__).parents[2] / "jobs" / "digits_cnn.py"


def spec(
    run_id: str, *, seed: int = 1, holdout: int = 0, checkpoint: Any = None, **recipe: Any
) -> dict[str, Any]:
    """The `run.json` of a run on the digits: G = 12, linear scaling, one epoch of warmup, two in all."""
    stated = {
        "batch_size": 120,
        "groups": 12,
        "epochs": 2,
        "reference": {"learning_rate": 0.05, "batch_size": 60},
        "scaling": "linear",
        "warmup": {"kind": "gradual", "epochs": 1},
        **recipe,
    }
    return {
        "schema": 1,
        "run_id": run_id,
        "study": "checks",
        "point": {},
        "job": {"path": str(JOB), "sha256": ""},
        "model": {"name": "digits_cnn"},
        "data": {"name": "digits", "root": None, "holdout": holdout},
        "resources": {"workers": 12},
        "recipe": Recipe.model_validate(stated).model_dump(),
        "measure": [],
        "checkpoint": {"every_epochs": 1, "every_minutes": None, "keep": 2, **(checkpoint or {})},
        "seed": seed,
        "derived": {},
    }


def mlp(dropout: float = 0.0) -> Any:
    import keras

    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(24, activation="relu")]
    layers += [keras.layers.Dropout(dropout), keras.layers.GaussianNoise(0.1)] if dropout else []
    return keras.Sequential([*layers, keras.layers.Dense(10)])


def normalized(dropout: float = 0.0) -> Any:
    """With batch norm, and no bias before it, whose gradient would be round-off alone."""
    from keras import Input, Sequential, layers

    return Sequential(
        [
            Input((8, 8, 1)),
            layers.Conv2D(6, 3, use_bias=False),
            layers.BatchNormalization(momentum=0.8),
            layers.ReLU(),
            *([layers.SpatialDropout2D(dropout)] if dropout else []),
            layers.Flatten(),
            layers.Dense(16, use_bias=False),
            layers.BatchNormalization(momentum=0.8),
            layers.ReLU(),
            *([layers.Dropout(dropout)] if dropout else []),
            layers.Dense(10),
        ]
    )


def train(
    here: Any,
    spec: dict[str, Any],
    build: Callable[[], Any] | None = None,
    *,
    callbacks: Any = (),
    folder: str = "",
    before: Callable[[Any], None] | None = None,
) -> tuple[str, RunDirectory, list[np.ndarray]]:
    """Train a run on all ranks, as a session does: state, folder, final values of the float variables.

    Left out: the states of random generators, which are set anew for every group.
    """
    from horovod_lb import models
    from horovod_lb.training.worker import execute

    directory = RunDirectory(here.out / (folder or spec["run_id"]))
    if here.rank == 0:
        directory.create(spec)
    here.comm.barrier()
    trained: list[Any] = []

    def main(run: Any) -> None:
        model = build() if build else models.build("digits_cnn")
        trained.append(model)
        if before:
            before(run)
        run.fit(model, callbacks=list(callbacks))

    state = execute(directory.path, main)
    return state, directory, [np.array(v) for v in trained[0].variables if np.asarray(v).dtype.kind == "f"]


class Alone:
    """The same training in one process: gradients by TensorFlow, everything else in NumPy by the formulas."""

    def __init__(self, spec: dict[str, Any], build: Callable[[], Any]) -> None:
        import keras

        from horovod_lb.data import load
        from horovod_lb.data.order import Order

        self.recipe, self.data = spec["recipe"], load(spec["data"])
        keras.utils.set_random_seed(spec["seed"])
        self.model = build()
        self.examples, self.batch = len(self.data.train), self.recipe["batch_size"]
        self.order = Order(self.examples, self.batch, self.recipe["remainder"], spec["seed"])
        remainder, (whole, rest) = self.recipe["remainder"], divmod(self.examples, self.batch)
        self.pace = {
            "continuous": self.examples / self.batch,
            "drop": whole,
            "weighted": whole + bool(rest),
            "wrap": whole + bool(rest),
        }[remainder]
        self.steps = int(np.ceil(self.recipe["epochs"] * self.pace - 1e-9))

    def rate(self, t: int) -> float:
        """Design §4 for linear scaling, gradual warmup from the reference rate, constant schedule."""
        reference = self.recipe["reference"]
        peak = reference["learning_rate"] * self.batch / reference["batch_size"]
        end = self.recipe["warmup"]["epochs"] * self.pace
        start = reference["learning_rate"]
        return start + (peak - start) * t / end if t < end else peak

    def loss(self, y: Any, logits: Any) -> Any:
        import keras

        smoothed = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=self.recipe["label_smoothing"]
        )
        return smoothed(keras.ops.one_hot(y, 10), logits)

    def gradients(self, indices: np.ndarray) -> list[np.ndarray]:
        """Of the mean loss over the whole batch at once."""
        import tensorflow as tf

        x, y = self.data.train.take(indices)
        with tf.GradientTape() as tape:
            loss = self.loss(y, self.model(x.astype("float32") * self.data.info.scale, training=True))
        return [g.numpy() for g in tape.gradient(loss, self.model.trainable_variables)]

    def train(self) -> list[np.ndarray]:
        """SGD with momentum in the u-form: u = m·u + g, w = w - η·u (PyTorch's), with decay and clipping."""
        momentum = self.recipe["optimizer"]["momentum"]
        decay, limit = self.recipe["weight_decay"], self.recipe["clip_global_norm"]
        variables = self.model.trainable_variables
        history = [np.zeros(v.shape) for v in variables]
        for t in range(self.steps):
            gradients = self.gradients(self.order.step_indices(t))
            rate = self.rate(t)
            decayed = [v.name != "bias" or "bias" not in decay["exclude"] for v in variables]
            weights = [v.numpy().astype("float64") for v in variables]
            if decay["kind"] == "l2":
                gradients = [
                    g + d * decay["value"] * w for g, w, d in zip(gradients, weights, decayed, strict=True)
                ]
            norm = np.sqrt(sum(float((g.astype("float64") ** 2).sum()) for g in gradients))
            if limit and norm > limit:
                gradients = [g * (limit / norm) for g in gradients]
            if decay["kind"] == "decoupled":
                weights = [w - d * rate * decay["value"] * w for w, d in zip(weights, decayed, strict=True)]
            history = [momentum * u + g for u, g in zip(history, gradients, strict=True)]
            ahead = self.recipe["optimizer"]["nesterov"]
            moves = [momentum * u + g if ahead else u for u, g in zip(history, gradients, strict=True)]
            for variable, w, move in zip(variables, weights, moves, strict=True):
                variable.assign((w - rate * move).astype("float32"))
        return [v.numpy() for v in self.model.variables]


class AloneByGroups(Alone):
    """With batch norm: groups one after the other, each from the statistics at the step's beginning."""

    def gradients(self, indices: np.ndarray) -> list[np.ndarray]:
        count, groups = len(indices), self.recipe["groups"]
        statistics = self.model.non_trainable_variables
        before = [v.numpy() for v in statistics]
        total: list[Any] = [0.0] * len(self.model.trainable_variables)
        after: list[Any] = [0.0] * len(statistics)
        for g in range(groups):
            part = indices[g * count // groups : (g + 1) * count // groups]
            if not len(part):
                continue
            for variable, value in zip(statistics, before, strict=True):
                variable.assign(value)
            weight = len(part) / count
            total = [
                t + weight * d.astype("float64") for t, d in zip(total, super().gradients(part), strict=True)
            ]
            after = [a + weight * v.numpy().astype("float64") for a, v in zip(after, statistics, strict=True)]
        for variable, value in zip(statistics, after, strict=True):
            variable.assign(value.astype("float32"))
        return total


class AloneByRatio(Alone):
    """LARS with the denominator ‖g‖ + λ‖w‖ and Nesterov, or bounded layer-wise momentum SGD in the u-form."""

    def train(self) -> list[np.ndarray]:
        options, decay = self.recipe["optimizer"], self.recipe["weight_decay"]
        variables = self.model.trainable_variables
        history = [np.zeros(v.shape) for v in variables]
        for t in range(self.steps):
            gradients = [g.astype("float64") for g in self.gradients(self.order.step_indices(t))]
            norm = np.sqrt(sum(float((g**2).sum()) for g in gradients))
            scale = min(1.0, (self.recipe["clip_global_norm"] or np.inf) / norm)
            for index, (variable, gradient) in enumerate(zip(variables, gradients, strict=True)):
                w, kernel = variable.numpy().astype("float64"), variable.name == "kernel"
                step = self._lars if options["kind"] == "lars" else self._layerwise
                factor = decay["value"] if kernel else 0.0
                history[index], w = step(history[index], w, scale * gradient, self.rate(t), factor, kernel)
                variable.assign(w.astype("float32"))
        return [v.numpy() for v in self.model.variables]

    def _lars(self, v: Any, w: Any, g: Any, rate: float, decay: float, adapted: bool) -> tuple[Any, Any]:
        m, size = self.recipe["optimizer"]["momentum"], np.linalg.norm(w)
        step = rate * (g + decay * w)
        if adapted:
            step *= size / (np.linalg.norm(g) + decay * size)
        v = m * v + step
        return v, w - (m * v + step)

    def _layerwise(self, u: Any, w: Any, g: Any, rate: float, decay: float, adapted: bool) -> tuple[Any, Any]:
        options = self.recipe["optimizer"]
        w = w - rate * decay * w
        u = options["momentum"] * u + g
        ratio = min(np.linalg.norm(w) / np.linalg.norm(u), options["layerwise"]["max"]) if adapted else 1.0
        return u, w - rate * ratio * u


def distance(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """The largest relative distance ‖a − b‖ / ‖b‖ over the variables."""
    assert [a.shape for a in found] == [b.shape for b in expected]
    pairs = [
        (a.astype("float64"), b.astype("float64"))
        for a, b in zip(found, expected, strict=True)
        if b.dtype.kind == "f"
    ]
    return max(float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30)) for a, b in pairs)
