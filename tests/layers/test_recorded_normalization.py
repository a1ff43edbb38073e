"""Ghost and synchronized batch normalization against PyTorch's BatchNorm2d, see `tests/oracles`.

Where conventions differ: PyTorch has channels first and Keras last; the weight of the new statistics is
PyTorch's `momentum`, and 1 − `momentum` in Keras; PyTorch's running variance is the unbiased one, n/(n − 1)
times that which normalizes (n = examples·H·W of a chunk), as here with `unbiased=True`. Ghost statistics are
the chunks' own, averaged by their examples: the running ones are linear in the new ones, so they are too.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from horovod_lb.layers import GhostBatchNormalization, SyncBatchNormalization

with np.load(Path(__file__).parents[1] / "oracles" / "normalization.npz") as file:
    ABOUT = json.loads(str(file["about"]))
    RECORDED = {name: file[name] for name in file.files if name != "about"}
X = RECORDED["x"]
OPTIONS = {"epsilon": ABOUT["epsilon"], "momentum": 1 - ABOUT["momentum"]}


def ghost(size: int, **options: Any) -> Any:
    return GhostBatchNormalization(size, **OPTIONS, **options)


def sync(size: int, **options: Any) -> Any:
    assert size == len(X)
    return SyncBatchNormalization(**OPTIONS, **options)


def near(found: Any, expected: np.ndarray, within: float = 1e-5) -> None:
    found = np.asarray(found, "float64")
    assert np.linalg.norm(found - expected) < within * np.linalg.norm(expected)


CASES = [(ghost, size) for size in ABOUT["sizes"]] + [(sync, len(X))]


@pytest.mark.parametrize(("make", "size"), CASES, ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.parametrize("unbiased", [True, False], ids=["unbiased", "biased"])
def test_as_torch(make: Any, size: int, unbiased: bool) -> None:
    layer = make(size, unbiased=unbiased)
    layer.build(X.shape)
    layer.gamma.assign(RECORDED["gamma"])
    layer.beta.assign(RECORDED["beta"])
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
        loss = tf.reduce_sum(y * RECORDED["upstream"])
    dx, dgamma, dbeta = tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])
    expected = {name: RECORDED[f"{size}/{name}"] for name in ("y", "dx", "dgamma", "dbeta")}
    near(y, expected["y"])
    near(dx, expected["dx"])
    near(dgamma, expected["dgamma"])
    near(dbeta, expected["dbeta"])

    weights = np.array([len(X[start : start + size]) for start in range(0, len(X), size)])
    values = weights * np.prod(X.shape[1:-1])
    variance = RECORDED[f"{size}/variance"]
    if not unbiased:
        kept = 1 - ABOUT["momentum"]  # of the variance 1 that both begin with
        variance = kept + (variance - kept) * ((values - 1) / values)[:, None]
    share = weights[:, None] / len(X)
    near(layer.moving_mean, (share * RECORDED[f"{size}/mean"]).sum(0))
    near(layer.moving_variance, (share * variance).sum(0))


def test_the_chunks_make_a_difference() -> None:
    """So that no case passes by another one's answers; the last chunk of 4 and of 5 is a remainder."""
    sizes = ABOUT["sizes"]
    assert {len(X) % size for size in sizes} >= {0, 1, 3} and len(X) in sizes
    for one, other in itertools.pairwise(sizes):
        for name in ("y", "dx", "dgamma"):
            gap = np.abs(RECORDED[f"{one}/{name}"] - RECORDED[f"{other}/{name}"]).max()
            assert gap > 1e-2, (one, other, name)
