"""Where the time of the steps goes: waiting for input, for other ranks, and computing."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from points import mlp, spec, train
from rank_checks import Here, ranks

from horovod_lb import models
from horovod_lb.data import mnist
from horovod_lb.distributed import DistributedOptimizer
from horovod_lb.training import loop
from horovod_lb.training.pace import Pace
from horovod_lb.training.timings import Stopwatch


@ranks(1, 2, 3)
def check_ranks_wait_for_the_slowest(here: Here) -> None:
    """The last rank begins each of ten steps 50 ms late: the others wait so long, it does not."""
    optimizer = DistributedOptimizer(keras.optimizers.SGD(0.1))
    optimizer.reducer.stopwatch = stopwatch = Stopwatch()
    weight = tf.Variable(np.ones(1000, np.float32))

    @tf.function
    def reduce(gradient: Any) -> Any:
        return optimizer.reducer.reduce([gradient * 2.0, None])[0]

    reduce(weight)
    before = stopwatch.seconds
    for _ in range(10):
        here.comm.Barrier()
        if here.rank == here.size - 1:
            time.sleep(0.05)
        reduce(weight)
    waited = here.comm.allgather(stopwatch.seconds - before)
    if here.size == 1:
        assert waited == [0.0]
        return
    assert all(0.4 < seconds < 2.0 for seconds in waited[:-1]), waited
    assert waited[-1] < 0.25, waited


@ranks(2)
def check_parts_add_up(here: Here) -> None:
    """Steps of 30 ms with input that takes 20 ms: two fifths of the time, whatever the other rank does."""
    pace = Pace()
    pace.begin_epoch()
    for step in range(11):
        with pace.waiting_for_input():
            time.sleep(0.02 if step else 0.5)  # the first step of a life does not count
        time.sleep(0.03)
        pace.step(32)
    parts = pace.parts()
    assert abs(parts["input_wait"] - 0.4) < 0.1, parts
    assert parts["allreduce_seconds"] == 0.0
    assert abs(parts["compute_seconds"] - 0.3) < 0.15, parts
    assert here.comm.allgather(parts) == [parts] * here.size


@ranks(1, 2, seconds=240)
def check_a_run_records_its_times(here: Here) -> None:
    began = time.monotonic()
    state, directory, _ = train(here, spec("timings", epochs=3), mlp)
    seconds = time.monotonic() - began
    here.comm.Barrier()  # rank 0 has written
    assert state == "completed"
    record = json.loads(directory.exit_json.read_text())
    compute, allreduce = record["compute_seconds"], record["allreduce_seconds"]
    assert 0 < compute < seconds
    assert (allreduce > 0) == (here.size > 1)
    assert 0 <= record["input_wait"] < 1
    total = (compute + allreduce) / (1 - record["input_wait"])
    counted = 3 * 1440 - 120  # without the first step of a life
    assert abs(total * record["images_per_second"] / counted - 1) < 1e-6


@ranks(1, 2, seconds=240)
def check_steps_do_not_wait_for_input_where_the_model_is_the_bottleneck(here: Here) -> None:
    """The networks and data of the demo and of the MNIST study, for some dozens of steps."""
    digits = spec("input-digits", batch_size=120, epochs=4)
    mnist = {
        **spec("input-mnist", batch_size=768, epochs=None, budget={"steps": 40}, warmup={"kind": "none"}),
        "model": {"name": "lenet5"},
        "data": {"name": "mnist", "root": mnist_folder(), "holdout": 5000},
    }
    for point, name in ((digits, "digits_cnn"), (mnist, "lenet5")):
        state, directory, _ = train(here, point, lambda name=name: models.build(name))
        here.comm.Barrier()
        record = json.loads(directory.exit_json.read_text())
        assert state == "completed"
        assert record["input_wait"] <= 0.05, record


def mnist_folder() -> str:
    """The folder of the four published files, as the tests of the data find it."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    return str(mnist.folder(os.environ.get("HLB_DATA") or str(beside)))


@ranks(2)
def check_the_clock_changes_nothing(here: Here) -> None:
    """The weights of a run with and without it, to the bit."""

    class Off:
        seconds = 0.0

        def __call__(self, own: Any, reduced: Any) -> None:
            pass

    _, _, timed = train(here, spec("with-clock", epochs=1), mlp)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "Stopwatch", Off)
        _, directory, plain = train(here, spec("without-clock", epochs=1), mlp)
    here.comm.Barrier()
    assert json.loads(directory.exit_json.read_text())["allreduce_seconds"] == 0.0
    assert all(np.array_equal(one, other) for one, other in zip(timed, plain, strict=True))
