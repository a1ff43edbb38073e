"""Noise, averaged weights and half precision on any number of ranks."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from check_loop import _At, _equal, _rows, _stop_file
from points import Alone, distance, mlp, normalized, spec, train
from rank_checks import Here, ranks

from horovod_lb.runs import RunDirectory

NOISE = {"activations": 0.2, "weights": 0.02, "gradients": 0.02, "gradients_decay": 0.55, "labels": 0.2}
AVERAGE = {"decay": 0.8, "overwrite_every": 5}
# N = 1405 in batches of 156 leaves one example: all groups but one are empty, and all ranks but one.
WEIGHTED = {"holdout": 35, "remainder": "weighted", "batch_size": 156}


def _trained(here: Here, point: dict[str, Any], build: Any = mlp, **options: Any) -> tuple[Any, list[Any]]:
    try:
        state, directory, values = train(here, point, build, **options)
    finally:
        keras.config.set_dtype_policy("float32")
    assert state == "completed", directory.read_exit()
    here.identical(*values)
    if here.rank == 0:
        np.savez(here.out / f"{point['run_id']}.npz", *values)
    return directory, values


@ranks(1, 2, 3, seconds=240)
def check_all_kinds(here: Here) -> None:
    """Parts of unequal size and without examples, dropout, an average that overwrites the weights."""
    decay = {"value": 0.01, "exclude": ["bias"]}
    point = spec("noisy", noise=NOISE, ema=AVERAGE, weight_decay=decay, **WEIGHTED)
    _, values = _trained(here, point, lambda: mlp(0.2))
    if here.size == 1:
        quiet = {**point, "run_id": "quiet", "recipe": {**point["recipe"], "noise": None}}
        _, plain = _trained(here, quiet, lambda: mlp(0.2))
        assert distance(values, plain) > 0.01, "the noise does next to nothing"


@ranks(1, 3, seconds=240)
def check_with_sam_and_batch_norm(here: Here) -> None:
    noise = {**NOISE, "weights": 0.0}
    sam = {"rho": 0.1, "group": 4}
    point = spec("noisy-sam", noise=noise, sam=sam, ema={}, clip_global_norm=0.5, epochs=1, batch_size=240)
    _trained(here, point, normalized)


@ranks(2, seconds=240)
def check_stopped_and_resumed_is_uninterrupted(here: Here) -> None:
    recipe = {"holdout": 100, "noise": NOISE, "ema": {"decay": 0.9}, "optimizer": {"kind": "adam"}}
    recipe["reference"] = {"learning_rate": 0.001, "batch_size": 60}
    whole, expected = _trained(here, spec("noisy-whole", **recipe), lambda: mlp(0.2))
    point, states = spec("noisy-stopped", **recipe), []
    while not states or states[-1] == "stopped":
        # Early in each life, where the ranks ask for STOP at nearly every step.
        ask = _At({(4, 15)[len(states)]} if len(states) < 2 else set(), _stop_file(here, "noisy-stopped"))
        state, directory, values = train(here, point, lambda: mlp(0.2), callbacks=[ask])
        states.append(state)
    assert states[0] == "stopped", states
    assert _equal(values, expected), "the weights of the resumed run differ"
    here.comm.barrier()
    assert _rows(directory) == _rows(whole)
    assert np.isfinite(whole.read_exit()["test_loss"])
    assert directory.read_exit()["test_loss"] == whole.read_exit()["test_loss"]


class _Weights(keras.callbacks.Callback):
    """The weights after every step, and at the end of training."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[list[np.ndarray]] = []
        self.end: list[np.ndarray] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps.append([np.array(v) for v in self.model.trainable_variables])

    def on_train_end(self, logs: Any = None) -> None:
        self.end = [np.array(v) for v in self.model.trainable_variables]


def _averages(steps: list[list[np.ndarray]], decay: float, every: int = 0) -> list[list[np.ndarray]]:
    """a = w after the first step, then a = d·a + (1 − d)·w, in float64."""
    found: list[list[np.ndarray]] = []
    for weights in steps:
        wide = [w.astype("float64") for w in weights]
        found.append(
            [decay * a + (1 - decay) * w for a, w in zip(found[-1], wide, strict=True)] if found else wide
        )
    return found


@ranks(2, seconds=240)
def check_the_average_is_evaluated_and_is_the_result(here: Here) -> None:
    """Against NumPy's recurrence over the weights of every step, which are those without an average."""
    from horovod_lb.data import load

    plain = _Weights()
    _trained(here, spec("without-average"), callbacks=[plain])
    for evaluate in ("averaged", "raw"):
        seen = _Weights()
        point = spec(f"average-{evaluate}", ema={"decay": 0.95, "evaluate": evaluate})
        directory, values = _trained(here, point, callbacks=[seen])
        for one, other in zip(seen.steps, plain.steps, strict=True):
            assert _equal(one, other), "the average has changed the training"
        averages = _averages(plain.steps, 0.95)
        expected = averages[-1] if evaluate == "averaged" else plain.steps[-1]
        assert distance(values, expected) < 1e-6
        assert _equal(seen.end, values)
        here.comm.barrier()
        # The evaluation of the first epoch, by NumPy: 12 steps of 120 examples.
        data = load(point["data"])
        weights = averages[11] if evaluate == "averaged" else plain.steps[11]
        hidden, bias, last, shift = (np.asarray(w, "float64") for w in weights)
        x = data.info.normalization(data.val.x.astype("float32")).reshape(len(data.val), -1)
        logits = np.maximum(x @ hidden + bias, 0) @ last + shift
        logits -= logits.max(1, keepdims=True)
        losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(logits)), data.val.y]
        assert directory.read_metrics()[0]["val_loss"] == pytest.approx(losses.mean(), rel=1e-4)


@ranks(1, seconds=240)
def check_an_average_that_overwrites_the_weights(here: Here) -> None:
    """Each update is that of momentum SGD by the book from the weights before it; every fifth is replaced."""
    seen = _Weights()
    point = spec("overwritten", ema=AVERAGE, optimizer={"kind": "sgd"}, epochs=1)
    _trained(here, point, callbacks=[seen])

    class Overwritten(Alone):
        def train(self) -> list[np.ndarray]:
            variables, found, average = self.model.trainable_variables, [], None
            for t in range(self.steps):
                gradients = self.gradients(self.order.step_indices(t))
                w = [v.numpy() - self.rate(t) * g for v, g in zip(variables, gradients, strict=True)]
                mixed = [0.8 * a + 0.2 * v for a, v in zip(average, w, strict=True)] if average else w
                average = mixed
                for variable, value in zip(variables, average if t % 5 == 4 else w, strict=True):
                    variable.assign(value)
                found.append([v.numpy() for v in variables])
            return found

    for one, other in zip(seen.steps, Overwritten(point, mlp).train(), strict=True):
        assert distance(one, other) < 1e-5


HALF = {"epochs": 1, "clip_global_norm": 0.5, "optimizer": {"kind": "sgd"}}


@ranks(1, 3, seconds=240)
def check_half_precision_with_everything(here: Here) -> None:
    """The weights stay float32. Twelve groups a step are accumulated on one rank, four on each of three."""
    for precision, scale in (("bfloat16", "dynamic"), ("float16", "dynamic"), ("float16", 512)):
        name = f"{precision}-{scale}"
        noise = {**NOISE, "weights": 0.0}
        sam = {"rho": 0.05} if scale == "dynamic" else None
        point = spec(
            name, precision=precision, loss_scale=scale, noise=noise, ema={"decay": 0.5}, sam=sam, **HALF
        )
        directory, values = _trained(here, point)
        assert {v.dtype for v in values} == {np.dtype("float32")}
        here.comm.barrier()
        (row,) = directory.read_metrics()
        if precision == "float16":
            assert row["skipped_steps"] == 0
            assert row["loss_scale"] == (2**15 if scale == "dynamic" else scale)
        else:
            assert "loss_scale" not in row


@ranks(1, seconds=240)
def check_a_loss_scale_changes_nothing_but_what_is_representable(here: Here) -> None:
    """A power of two: gradients, clipped after they are unscaled, are the same to float16's last bits."""
    found = []
    for scale in (64, 4096):
        point = spec(f"scale-{scale}", precision="float16", loss_scale=scale, **HALF)
        found.append(_trained(here, point)[1])
    full = _trained(here, spec("full", **HALF))[1]
    assert distance(found[0], found[1]) < 2e-3
    assert distance(found[1], full) < 2e-2
    assert distance(found[1], full) > 1e-6, "nothing was computed in half precision"


@ranks(3, seconds=240)
def check_overflow_on_one_rank_is_skipped_on_all(here: Here) -> None:
    """One pixel that is large enough, on the last rank alone: its gradient overflows, and no rank moves."""
    from horovod_lb.data import load
    from horovod_lb.data.dataset import Arrays, DataSet
    from horovod_lb.data.order import Order
    from horovod_lb.training.worker import execute

    tiny = {"reference": {"learning_rate": 1e-6, "batch_size": 60}}
    for scale, after in (("dynamic", 2**14), (1024, 1024)):
        point = spec(f"overflow-{scale}", precision="float16", loss_scale=scale, ema={}, **HALF, **tiny)
        good = load(point["data"])
        x = good.train.x.astype("float32")
        x[Order(1440, 120, "continuous", 1).step_indices(5)[-1], 4, 4] = 4e4 / good.info.scale
        spoiled = DataSet(good.info, Arrays(x, good.train.y), good.val, good.test)
        directory = RunDirectory(here.out / point["run_id"])
        if here.rank == 0:
            directory.create(point)
        here.comm.barrier()
        seen, updates = _Weights(), []

        def main(run: Any, data: Any = spoiled, seen: Any = seen, updates: Any = updates) -> None:
            zeros = keras.layers.Dense(10, kernel_initializer="zeros")
            model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), zeros])
            count = keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: updates.append(int(model.optimizer.iterations))
            )
            run.fit(model, data=data, callbacks=[seen, count])

        try:
            assert execute(directory.path, main) == "completed"
        finally:
            keras.config.set_dtype_policy("float32")
        assert updates == [1, 2, 3, 4, 5, 5, *range(6, 12)], updates
        assert _equal(seen.steps[5], seen.steps[4])
        for weights in seen.steps:
            here.identical(*weights)
        here.comm.barrier()
        (row,) = directory.read_metrics()
        assert (row["skipped_steps"], row["loss_scale"]) == (1, after)
