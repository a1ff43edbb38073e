"""Properties that hold for any number of ranks, over draws at random: sync and ghost batch norm, SAM.

The draws are seeded, so that all ranks, and all numbers of ranks, see the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from check_sam import _agrees, _point
from points import mlp
from rank_checks import Here, ranks

from horovod_lb.distributed.peers import Peers
from horovod_lb.layers import GhostBatchNormalization, SyncBatchNormalization

DRAWS, SAM_DRAWS = 6, 3


def _stream(check: int, draw: int) -> np.random.Generator:
    return np.random.default_rng([check, draw])


class Case:
    """A batch of 6 to 24 examples, tensors of rank 2 to 4, weights, and how the layer is set up."""

    def __init__(self, stream: np.random.Generator) -> None:
        shape = [int(n) for n in stream.integers(1, 5, stream.integers(1, 4))]
        self.n = int(stream.integers(6, 25))
        self.x = (stream.normal(3.0, 2.0, (self.n, *shape)) + stream.normal(size=shape)).astype("float32")
        self.upstream = stream.normal(size=self.x.shape).astype("float32")
        self.gamma, self.beta = stream.normal(1.0, 0.3, (2, shape[-1])).astype("float32")
        self.unbiased = bool(stream.integers(2))
        self.options = {"momentum": float(stream.uniform(0.1, 0.9)), "epsilon": 1e-2}

    def passed(self, layer: Any, rows: slice) -> list[np.ndarray]:
        """Outputs, gradients by inputs, γ and β, and the moving statistics after one batch of these rows."""
        layer.build((None, *self.x.shape[1:]))
        layer.gamma.assign(self.gamma)
        layer.beta.assign(self.beta)

        @tf.function
        def step(x: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, training=True)
                loss = tf.reduce_sum(y * self.upstream[rows])
            return y, *tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])

        found = [value.numpy() for value in step(tf.constant(self.x[rows]))]
        return [*found, layer.moving_mean.numpy(), layer.moving_variance.numpy()]

    def expected(self, chunks: Sequence[slice]) -> list[np.ndarray]:
        """By Keras' own layers, one a chunk; statistics weighted by examples, with the factor of Bessel."""
        parts = []
        for rows in chunks:
            y, dx, dgamma, dbeta, mean, variance = self.passed(
                keras.layers.BatchNormalization(**self.options), rows
            )
            kept, values = self.options["momentum"], self.x[rows].size / self.x.shape[-1]
            factor = values / max(values - 1, 1) if self.unbiased else 1.0
            weight = (rows.stop - rows.start) / self.n
            parts.append([y, dx, dgamma, dbeta, weight * mean, weight * (kept + (variance - kept) * factor)])
        columns = list(zip(*parts, strict=True))
        return [*(np.concatenate(c) for c in columns[:2]), *(np.sum(c, axis=0) for c in columns[2:])]


def _near(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    gap = np.linalg.norm(found.astype("float64") - expected)
    assert gap <= 2e-4 * max(np.linalg.norm(expected), np.sqrt(expected.size)), f"{what}: {gap}"


@ranks(1, 2, 3)
def check_sync_batch_norm(here: Here) -> None:
    """Cut anywhere, ranks without examples among them: the whole batch through one layer."""
    for draw in range(DRAWS):
        stream = _stream(1, draw)
        case = Case(stream)
        cuts = sorted(int(c) for c in stream.integers(0, case.n + 1, here.size - 1))
        rows = [slice(a, b) for a, b in itertools.pairwise([0, *cuts, case.n])][here.rank]
        layer = SyncBatchNormalization(Peers(), unbiased=case.unbiased, **case.options)
        y, dx, dgamma, dbeta, mean, variance = case.passed(layer, rows)
        expected = case.expected([slice(0, case.n)])
        _near(y, expected[0][rows], f"outputs, draw {draw}")
        _near(dx, expected[1][rows], f"gradient by the inputs, draw {draw}")
        for found, wanted, what in ((dgamma, expected[2], "γ"), (dbeta, expected[3], "β")):
            _near(np.sum(here.comm.allgather(found), axis=0), wanted, f"gradient by {what}, draw {draw}")
        here.identical(mean, variance)
        _near(mean, expected[4], f"moving mean, draw {draw}")
        _near(variance, expected[5], f"moving variance, draw {draw}")


@ranks(1, 2, 3)
def check_ghost_batch_norm(here: Here) -> None:
    """Whole ghosts dealt to the ranks in any way, the remainder to the last: one layer a ghost."""
    for draw in range(DRAWS):
        stream = _stream(2, draw)
        case = Case(stream)
        size = int(stream.integers(1, case.n // 3 + 1))  # three ghosts at least: one for each rank
        inner = 1 + stream.choice(-(-case.n // size) - 1, here.size - 1, replace=False)
        bounds = [0, *(size * int(c) for c in sorted(inner)), case.n]
        rows = [slice(a, b) for a, b in itertools.pairwise(bounds)][here.rank]
        layer = GhostBatchNormalization(size, unbiased=case.unbiased, **case.options)
        y, dx, dgamma, dbeta, mean, variance = case.passed(layer, rows)
        chunks = [slice(start, min(start + size, case.n)) for start in range(0, case.n, size)]
        expected = case.expected(chunks)
        _near(y, expected[0][rows], f"outputs, draw {draw}")
        _near(dx, expected[1][rows], f"gradient by the inputs, draw {draw}")
        weight = (rows.stop - rows.start) / case.n
        mine = (dgamma, dbeta, weight * mean, weight * variance)
        for found, wanted, what in zip(mine, expected[2:], ("γ", "β", "mean", "variance"), strict=True):
            _near(np.sum(here.comm.allgather(found), axis=0), wanted, f"{what}, draw {draw}")


@ranks(1, 2, 3, seconds=240)
def check_sam(here: Here) -> None:
    """Any ρ, kind, block of groups and batch; on one rank against the loop over all groups in NumPy."""
    for draw in range(SAM_DRAWS):
        stream = _stream(3, draw)
        groups = int(stream.choice([6, 12]))
        blocks = ["worker", "global", *(n for n in (2, 3, 4, 6) if groups % n == 0)]
        sam = {
            "rho": float(10 ** stream.uniform(-1.5, 0)),
            "adaptive": bool(stream.integers(2)),
            "group": blocks[int(stream.integers(len(blocks)))],
            "decay_at": ["w", "w_eps"][int(stream.integers(2))],
        }
        recipe: dict[str, Any] = {
            "groups": groups,
            "batch_size": groups * int(stream.integers(12, 40)),
            "remainder": ["continuous", "weighted", "wrap"][int(stream.integers(3))],
            "weight_decay": {"value": 0.02, "kind": "l2", "exclude": ["bias"]},
        }
        _agrees(here, _point(f"draw{draw}", sam, **recipe), mlp)
