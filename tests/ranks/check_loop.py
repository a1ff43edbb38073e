"""The run loop: stopped, resumed, failed and diverged runs."""

from __future__ import annotations

import random
import shutil
from typing import Any

import keras
import numpy as np
import pytest
from points import mlp, normalized, spec, train
from rank_checks import Here, ranks

from horovod_lb.runs import RunDirectory

TIMING = {"images_per_second", "seconds"}


def _rows(directory: RunDirectory) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in TIMING} for row in directory.read_metrics()]


def _equal(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


class _At(keras.callbacks.Callback):
    """Calls `action` once, after the steps given."""

    def __init__(self, steps: set[int], action: Any) -> None:
        super().__init__()
        self.steps, self.action = set(steps), action

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch + 1 in self.steps:
            self.steps.remove(batch + 1)
            self.action()


def _stop_file(here: Here, name: str) -> Any:
    def ask() -> None:
        if here.rank == 0:
            RunDirectory(here.out / name).request_stop()

    return ask


# Four epochs of 12 steps; the batch is small, so that rank 0 asks for STOP at nearly every step.
LONG = {"epochs": 4, "optimizer": {"kind": "adam"}, "reference": {"learning_rate": 0.001, "batch_size": 60}}


@ranks(1, 2)
def check_stopped_and_resumed_is_uninterrupted(here: Here) -> None:
    build = lambda: mlp(0.2)  # noqa: E731
    state, whole, expected = train(here, spec("whole", **LONG), build)
    assert state == "completed"
    steps = here.first({random.randint(2, 9), random.randint(14, 22), random.randint(26, 40)})
    point, lives, states = spec("stopped", **LONG), 0, []
    while not states or states[-1] == "stopped":
        callback = _At({min(steps)} if steps else set(), _stop_file(here, "stopped"))
        state, directory, values = train(here, point, build, callbacks=[callback])
        states.append(state)
        lives += 1
        assert lives < 9
        if steps:
            steps.discard(min(steps))
    assert states == ["stopped"] * 3 + ["completed"], states
    assert _equal(values, expected), "the weights of the resumed run differ"
    assert _rows(directory) == _rows(whole)
    assert [row["epoch"] for row in _rows(directory)] == [1, 2, 3, 4]
    reasons = [event["reason"] for event in directory.read_events() if event["kind"] == "end"]
    assert all("asked to stop" in reason for reason in reasons[:-1])


@ranks(2)
def check_stopped_and_resumed_with_batch_norm(here: Here) -> None:
    """In the middle of an epoch; weights and moving statistics to the bit, the same on all ranks."""
    _, whole, expected = train(here, spec("whole-norm", batch_size=240), normalized)
    point = spec("stopped-norm", batch_size=240)
    callback = _At({3}, _stop_file(here, "stopped-norm"))
    statistics: list[np.ndarray] = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            statistics[:] = [np.array(v) for v in self.model.non_trainable_variables if v.dtype == "float32"]
            here.identical(*statistics)

    state, directory, _ = train(here, point, normalized, callbacks=[callback, Look()])
    assert state == "stopped"
    assert len(statistics) == 4
    state, directory, values = train(here, point, normalized)
    assert state == "completed"
    assert _equal(values, expected)
    assert _rows(directory) == _rows(whole)
    here.identical(*values)


class _Error(RuntimeError):
    pass


def _fail() -> None:
    raise _Error("made to fail")


@ranks(1, 2)
def check_failed_and_resumed_is_uninterrupted(here: Here) -> None:
    """An exception in a callback in the third epoch: the next life goes on from the second's checkpoint."""
    state, whole, expected = train(here, spec("whole-2", **LONG), mlp)
    point = spec("failed", **LONG)
    with pytest.raises(_Error):
        train(here, point, mlp, callbacks=[_At({30}, _fail)])
    directory = RunDirectory(here.out / "failed")
    here.comm.barrier()
    exit_record = directory.read_exit()
    assert exit_record["state"] == "failed"
    assert "made to fail" in exit_record["error"]
    begun: list[int] = []
    note = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: begun.append(batch))
    state, directory, values = train(here, point, mlp, callbacks=[note])
    assert state == "completed"
    assert begun == list(range(24, 48))
    assert _equal(values, expected)
    assert _rows(directory) == _rows(whole)


@ranks(1, 2)
def check_a_damaged_checkpoint_is_passed_over(here: Here) -> None:
    """The newest file cut short, emptied or overwritten: training goes on from the one before."""
    state, whole, expected = train(here, spec("whole-3", **LONG), mlp)
    for damage in ("cut", "emptied", "overwritten"):
        name = f"damaged-{damage}"
        point = spec(name, **LONG)
        with pytest.raises(_Error):
            train(here, point, mlp, callbacks=[_At({30}, _fail)], folder=name)
        here.comm.barrier()
        directory = RunDirectory(here.out / name)
        if here.rank == 0:
            newest = sorted(directory.checkpoints.glob("step-*.npz"))[-1]
            assert newest.name == "step-000000024.npz"
            data = newest.read_bytes()
            middle = len(data) // 2
            spoiled = data[:middle] + bytes(64) + data[middle + 64 :]
            newest.write_bytes({"cut": data[:middle], "emptied": b"", "overwritten": spoiled}[damage])
        here.comm.barrier()
        begun: list[int] = []
        note = keras.callbacks.LambdaCallback(
            on_train_batch_begin=lambda batch, logs, begun=begun: begun.append(batch)
        )
        state, directory, values = train(here, point, mlp, callbacks=[note], folder=name)
        assert state == "completed"
        assert begun[0] == 12, damage
        assert _equal(values, expected)
        assert _rows(directory) == _rows(whole)


@ranks(1, 2, 3)
def check_a_loss_that_is_not_finite_ends_the_run(here: Here) -> None:
    point = spec("boom", reference={"learning_rate": 1e30, "batch_size": 60})
    steps: list[int] = []
    note = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: steps.append(batch))
    state, directory, _ = train(here, point, mlp, callbacks=[note])
    assert state == "diverged"
    assert here.comm.allgather(steps) == [steps] * here.size
    here.comm.barrier()
    record = directory.read_exit()
    assert (record["state"], record["outcome"], record["step"]) == ("diverged", "nan", steps[-1])
    assert str(steps[-1]) in record["reason"]
    assert len(steps) < 24


@ranks(2, 3)
def check_a_bad_example_on_one_rank_ends_the_run_on_all(here: Here) -> None:
    """One NaN in the input of the last rank's last example of step 5; no ReLU that could hide it."""
    from horovod_lb.data import load
    from horovod_lb.data.dataset import Arrays, DataSet
    from horovod_lb.data.order import Order

    point = spec("bad-example")
    good = load(point["data"])
    x = good.train.x.astype("float32")
    x[Order(1440, 120, "continuous", 1).step_indices(5)[-1]] = np.nan
    spoiled = DataSet(good.info, Arrays(x, good.train.y), good.val, good.test)
    directory = RunDirectory(here.out / "bad-example")
    if here.rank == 0:
        directory.create(point)
    here.comm.barrier()
    from horovod_lb.training.worker import execute

    def linear() -> Any:
        return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])

    state = execute(directory.path, lambda run: run.fit(linear(), data=spoiled))
    assert here.comm.allgather(state) == ["diverged"] * here.size
    here.comm.barrier()
    assert directory.read_exit()["step"] == 5


@ranks(2)
def check_broken_weights_behind_a_finite_loss_end_the_run(here: Here) -> None:
    """NaN in the hidden kernel: oneDNN's fused ReLU makes 0 of it, and the loss stays finite."""

    class Break(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if batch == 15:
                kernel = self.model.trainable_variables[0]
                kernel.assign(np.full(kernel.shape, np.nan, "float32"))

    state, directory, _ = train(here, spec("broken", **LONG), mlp, callbacks=[Break()])
    assert state == "diverged"
    here.comm.barrier()
    assert 15 <= directory.read_exit()["step"] <= 23
    assert {path.name for path in directory.checkpoints.iterdir()} == {"step-000000012.npz", "best.npz"}


@ranks(1, 2)
def check_weights_that_burst_in_the_last_step_are_found(here: Here) -> None:
    """The last loss is finite, but its update is not: the run has no result."""
    point = spec("last-step", schedule={"kind": "step", "epochs": [1.91], "factor": 1e60})
    state, directory, values = train(here, point, mlp)
    assert not all(np.isfinite(value).all() for value in values)
    here.comm.barrier()
    assert state == "diverged", directory.read_exit()
    assert directory.read_exit()["step"] == 23


@ranks(2)
def check_exclusions_from_decay_in_half_precision(here: Here) -> None:
    """Nothing but decay at work: the loss is 0, so biases stand still and kernels shrink by 1 - ηλ a step."""
    import tensorflow as tf

    decay = {"value": 0.5, "kind": "decoupled", "exclude": ["bias"]}
    point = spec(
        "half",
        precision="float16",
        weight_decay=decay,
        scaling="none",
        warmup={"kind": "none"},
        reference={"learning_rate": 0.1},
    )
    directory = RunDirectory(here.out / "half")
    if here.rank == 0:
        directory.create(point)
    here.comm.barrier()
    from horovod_lb.training.worker import execute

    seen: list[list[np.ndarray]] = []

    def main(run: Any) -> None:
        model = mlp()
        for variable in model.trainable_variables:
            variable.assign(np.ones(variable.shape, "float32"))
        run.fit(model, loss=lambda labels, logits: 0.0 * tf.cast(tf.reduce_sum(logits, -1), tf.float32))
        seen.append([v.numpy() for v in model.trainable_variables])

    try:
        assert execute(directory.path, main) == "completed"
    finally:
        keras.config.set_dtype_policy("float32")
    for value in seen[0]:
        expected = 1.0 if value.ndim == 1 else (1 - 0.1 * 0.5) ** 24
        np.testing.assert_allclose(value, expected, rtol=1e-5)


@ranks(1, 2)
def check_rank_zero_writes_alone(here: Here) -> None:
    """One row an epoch, one checkpoint kept of two, the log of every rank."""
    point = spec("written", checkpoint={"keep": 1, "keep_best": False})
    _, directory, _ = train(here, point, mlp)
    here.comm.barrier()
    assert [row["epoch"] for row in directory.read_metrics()] == [1, 2]
    assert [path.name for path in directory.checkpoints.iterdir()] == ["step-000000024.npz"]
    logs = sorted(path.name for path in directory.newest_segment().glob("log*"))
    assert logs == ["log", *(f"log.{rank}" for rank in range(1, here.size))]
    rates = [row["learning_rate"] for row in directory.read_metrics()]
    assert rates == [pytest.approx(0.05 + 0.05 * 11 / 12), pytest.approx(0.1)]
    here.comm.barrier()
    if here.rank == 0:
        shutil.rmtree(directory.path)


@ranks(2)
def check_a_callback_can_end_the_training(here: Here) -> None:
    """As in model.fit: stop_training ends it after the epoch, and the run is complete."""

    class Enough(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = epoch == 1

    state, directory, _ = train(here, spec("enough", **LONG), mlp, callbacks=[Enough()])
    assert state == "completed"
    assert [row["epoch"] for row in directory.read_metrics()] == [1, 2]
