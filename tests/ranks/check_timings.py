"""Where the time of the steps goes: waiting for input, for other ranks, and computing."""

from __future__ import annotations

import json
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from points import mlp, spec, train
from rank_checks import Here, ranks

from horovod_lb.distributed import DistributedOptimizer
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


@ranks(1, 2)
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
    assert abs(total * record["images_per_second"] / counted - 1) < 0.05
