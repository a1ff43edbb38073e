"""The same training again gives the same bits, whatever the timing; and the ranks agree to the bit."""

from __future__ import annotations

import random
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from points import spec, train
from rank_checks import Here, ranks

import horovod_lb as hlb

SHAPES = [(1 + 37 * n % 50, 1 + 11 * n % 9) for n in range(40)]


def _weights_after(here: Here, bucket_bytes: int, steps: int) -> list[np.ndarray]:
    """Forty variables in many buckets, the ranks disturbed by sleeps of random length."""
    variables = [keras.Variable(np.ones(shape, "float32")) for shape in SHAPES]
    optimizer = hlb.DistributedOptimizer(keras.optimizers.Adam(0.01), bucket_bytes=bucket_bytes)
    optimizer.build(variables)
    stream = np.random.default_rng(here.rank)
    inputs = [[stream.normal(size=shape).astype("float32") for shape in SHAPES] for _ in range(steps)]

    @tf.function
    def step(*gradients: Any) -> None:
        optimizer.apply([tf.tanh(g) * v for g, v in zip(gradients, variables, strict=True)], variables)

    for gradients in inputs:
        time.sleep(random.choice([0.0, 0.0, 0.002, 0.02]))
        step(*gradients)
    return [v.numpy() for v in variables]


@ranks(2, 3, 4)
def check_many_buckets_repeat_bit_for_bit(here: Here) -> None:
    for bucket_bytes in (1, 600, 2**30):
        first = _weights_after(here, bucket_bytes, 8)
        here.identical(*first)
        for _ in range(2):
            again = _weights_after(here, bucket_bytes, 8)
            assert all(np.array_equal(a, b) for a, b in zip(again, first, strict=True)), bucket_bytes


class _Disturb(keras.callbacks.Callback):
    """Sleeps at random, and keeps this rank's weights after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[bytes] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        time.sleep(random.choice([0.0, 0.0, 0.005, 0.03]))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen.append(b"".join(v.numpy().tobytes() for v in self.model.trainable_variables))


@ranks(1, 2, 3, 4)
def check_a_run_repeats_bit_for_bit(here: Here) -> None:
    lives = []
    for number in range(2):
        point = spec(f"again-{number}", communication={"bucket_mb": 0.005})
        disturb = _Disturb()
        state, directory, _ = train(here, point, callbacks=[disturb])
        assert state == "completed", directory.read_exit()
        lives.append(disturb.seen)
    assert len(lives[0]) == 24
    assert lives[0] == lives[1]
    assert len(set(lives[0])) == 24, "the weights stood still"
    for step, by_rank in enumerate(zip(*here.comm.allgather(lives[0]), strict=True)):
        assert len(set(by_rank)) == 1, f"the ranks part at step {step}"
