"""Measurements on ranks: the same values on any number of them, and after a stop as without."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import pytest
from points import mlp, normalized, spec, train
from rank_checks import Here, ranks

from horovod_lb.runs import RunDirectory

ALL: list[dict[str, Any]] = [
    {"kind": "noise_scale", "decay": 0.9},
    {"kind": "distance", "every_steps": 1},
    {"kind": "trust_ratios", "every_steps": 2},
    {"kind": "sharpness", "every_epochs": 2, "examples": 300, "iterations": 2},
    {"kind": "hessian", "every_epochs": 2, "examples": 300, "iterations": 30, "probes": 2},
    {"kind": "signal_to_noise", "every_epochs": 2, "examples": 600, "batches": 2},
]
KEPT = [ALL[0], {**ALL[1], "by_step": True}, {**ALL[2], "by_step": True}]
LARS = {"kind": "lars", "coefficient": 0.01}


def _measured(rows: list[dict[str, Any]]) -> list[dict[str, float]]:
    plain = {"images_per_second", "seconds", "learning_rate"}
    return [{key: value for key, value in row.items() if key not in plain} for row in rows]


def _point(name: str, measure: list[dict[str, Any]], **recipe: Any) -> dict[str, Any]:
    return {**spec(name, optimizer=LARS, **recipe), "measure": measure}


@ranks(1, 2, 3, seconds=240)
def check_all_measurements(here: Here) -> None:
    """12 groups with batch norm; `test_measurements.py` compares the tables of all numbers of ranks."""
    state, directory, weights = train(here, _point("measured", ALL), normalized)
    assert state == "completed"
    here.comm.barrier()
    rows = _measured(directory.read_metrics())
    first, last = rows
    assert first["sharpness"] is None and first["hessian_max"] is None and first["distance"] > 0
    assert all(value is not None for value in last.values()), last
    assert last["hessian_max"] > last["hessian_min"] and last["sharpness"] > 0 < last["sharpness_sam"]
    if here.rank == 0:
        (here.out / "measured.json").write_text(json.dumps(rows))
    _, _, plain = train(here, _point("unmeasured", []), normalized)
    for value, expected in zip(weights, plain, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-7)


@ranks(1, 2, 3)
def check_noise_scale_of_sam(here: Here) -> None:
    """Gradients at w + ε, each group's own: the same noise on any number of ranks, and not that at w."""
    point = _point("noise-sam", ALL[:1], epochs=1, sam={"rho": 0.5, "group": "worker"})
    state, directory, _ = train(here, point, mlp)
    assert state == "completed"
    here.comm.barrier()
    if here.rank == 0:
        (here.out / "noise-sam.json").write_text(json.dumps(_measured(directory.read_metrics())))
    _, plain, _ = train(here, _point("noise-plain", ALL[:1], epochs=1), mlp)
    here.comm.barrier()
    (found,), (expected,) = directory.read_metrics(), plain.read_metrics()
    assert found["noise_scale"] != pytest.approx(expected["noise_scale"], rel=1e-2)


class _StopAt(keras.callbacks.Callback):
    def __init__(self, here: Here, name: str, step: int) -> None:
        super().__init__()
        self.here, self.name_, self.step = here, name, step

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch + 1 == self.step and self.here.rank == 0:
            RunDirectory(self.here.out / self.name_).request_stop()


@ranks(2)
def check_a_stopped_run_measures_what_an_uninterrupted_one_does(here: Here) -> None:
    """Stopped in mid-epoch: averages, fits, sums of ratios and initial weights come from the checkpoint."""
    slow = {"batch_size": 60, "epochs": 2}
    _, whole, _ = train(here, _point("measured-whole", KEPT, **slow), mlp)
    point = _point("measured-stopped", KEPT, **slow)
    state, directory, _ = train(here, point, mlp, callbacks=[_StopAt(here, "measured-stopped", 7)])
    assert state == "stopped"
    state, directory, _ = train(here, point, mlp)
    assert state == "completed"
    here.comm.barrier()
    epochs, steps = whole.read_metrics(), whole.read_steps()
    assert _measured(directory.read_metrics()) == _measured(epochs)
    assert directory.read_steps() == steps
    assert [row["step"] for row in steps] == list(range(1, 49))
    assert [steps[row["step"] - 1]["distance"] for row in epochs] == [row["distance"] for row in epochs]
    ratio = next(name for name in steps[0] if name.startswith("trust_ratio["))
    kept = [row[ratio] for row in steps]
    assert kept[::2] == [None] * 24
    assert np.mean(kept[1:24:2]) == pytest.approx(epochs[0][ratio])


@ranks(1, 2)
def check_the_noise_scale_is_that_of_the_groups_gradients(here: Here) -> None:
    """Three steps, written out: gradients of all groups by hand, in NumPy the formulas."""
    import tensorflow as tf

    from horovod_lb.data import load
    from horovod_lb.data.order import Order
    from horovod_lb.measure.scale import Averages, from_groups
    from horovod_lb.training.loss import cross_entropy

    point = spec(
        "noise",
        batch_size=480,
        budget={"steps": 3},
        epochs=None,
        reference={"learning_rate": 0.1},
        scaling="none",
    )
    point["measure"] = [{"kind": "noise_scale", "decay": 0.5}]
    state, directory, _ = train(here, point, mlp)
    assert state == "completed"
    here.comm.barrier()
    data, order = load(point["data"]), Order(1440, 480, "continuous", 1)
    keras.utils.set_random_seed(1)
    model, averages = mlp(), Averages(0.5)
    velocity: list[Any] = [0.0] * len(model.trainable_variables)
    rate = keras.ops.convert_to_tensor
    from horovod_lb.recipe import resolve

    rates = resolve(point["recipe"], examples=1440, workers=1).rate
    for step in range(3):
        parts = []
        for rows in np.split(order.step_indices(step), 12):
            x, y = data.train.take(rows)
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(cross_entropy(y, model(rate(x.astype("float32") * data.info.scale))))
            parts.append([g.numpy() for g in tape.gradient(loss, model.trainable_variables)])
        mean = [np.mean(each, axis=0) for each in zip(*parts, strict=True)]
        squares = [sum(float((g**2).sum()) for g in part) for part in [*parts, mean]]
        averages.add(from_groups(40 * sum(squares[:-1]), 12, squares[-1], 480))
        velocity = [0.9 * v + rates(step) * g for v, g in zip(velocity, mean, strict=True)]
        for variable, move in zip(model.trainable_variables, velocity, strict=True):
            variable.assign(variable - move)
    (row,) = directory.read_metrics()
    assert row["gradient_variance"] == pytest.approx(averages.noise.variance, rel=1e-3)
    assert row["gradient_square"] == pytest.approx(averages.noise.gradient_square, rel=1e-3)
    assert row["noise_scale"] == pytest.approx(averages.scale, rel=1e-3)


@ranks(1, 2)
def check_a_synchronized_network_in_training_mode(here: Here) -> None:
    """Three chunks, uneven on two ranks: as Keras' own layer on each chunk, and nobody waits."""
    from horovod_lb.data import Arrays
    from horovod_lb.distributed.peers import Peers
    from horovod_lb.layers import SyncBatchNormalization
    from horovod_lb.measure.objective import Objective
    from horovod_lb.training.loss import cross_entropy

    stream = np.random.default_rng(0)
    data = Arrays(stream.normal(size=(30, 4, 4, 1)).astype("float32"), stream.integers(0, 3, 30))

    def found(batch_norm: Any) -> np.ndarray:
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Conv2D(3, 3), batch_norm, keras.layers.Activation("tanh")]
        head = [keras.layers.Flatten(), keras.layers.Dense(3)]
        model = keras.Sequential([keras.Input((4, 4, 1)), *layers, *head])
        objective = Objective(model, cross_entropy, data, chunk=10, mode="training")
        value, gradient = objective.value_and_gradient()
        return np.concatenate([[value], gradient, objective.product(np.ones(objective.size))])

    peers = Peers()
    layer = SyncBatchNormalization(peers)
    expected = found(keras.layers.BatchNormalization())
    np.testing.assert_allclose(found(layer), expected, rtol=2e-4, atol=2e-5)
    assert layer.collective is peers
