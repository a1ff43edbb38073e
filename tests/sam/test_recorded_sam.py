"""`hlb.SAM` in 50 steps against what optax's did, see `tests/oracles`.

The convention is that of `optax.contrib.sam(optimizer, chain(normalize(), sgd(ρ)), opaque_mode=True)`: ε =
ρ·g/‖g‖ with the norm over all trained variables together, the second gradient on the same batch, one update
of the optimizer a step, from the weights w. (`opaque_mode=False`, optax's default, is told every gradient
from outside and takes two calls a step.) Where they differ: optax divides by ‖g‖ even where it is 0, ours
climbs nowhere then. Of the optimizers inside: optax's momentum has the rate outside of its buffer, as
`MomentumSGD` has it by its correction and Keras' SGD has not; Keras' Adam has its ε outside of the
correction of the second moment and optax inside, so here it is next to 0.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import horovod_lb as hlb
from horovod_lb.optimizers import MomentumSGD

with np.load(Path(__file__).parents[1] / "oracles" / "sam.npz") as file:
    ABOUT = json.loads(str(file["about"]))
    RECORDED = {name: file[name] for name in file.files if name != "about"}
WEIGHTS = {name.partition("/")[2]: RECORDED[name] for name in RECORDED if name.startswith("weights/")}
TRAINED = [name for name in WEIGHTS if name not in ABOUT["frozen"]]
OPTIMIZERS = {"sgd": MomentumSGD, "adam": keras.optimizers.Adam}
WORDS = {"eps": "epsilon"}


class Network(keras.layers.Layer):
    """That of `record_sam.py`."""

    def __init__(self) -> None:
        super().__init__()
        for name, value in WEIGHTS.items():
            weight = self.add_weight(shape=value.shape, trainable=name in TRAINED, name=name)
            weight.assign(value)
            setattr(self, name, weight)

    def call(self, x: Any) -> Any:
        hidden = tf.tanh(x @ self.kernel.value + self.bias)
        cube = tf.reduce_prod(tf.einsum("nh,hko->nko", hidden, self.cube.value), axis=1)
        outputs = (self.scale * hidden) @ self.zero.value + cube + self.frozen
        return outputs + 0.0 * tf.reduce_sum(self.idle)


def trained(case: dict[str, Any], rho: float) -> list[dict[str, np.ndarray]]:
    """The weights after every step."""
    options = {WORDS.get(word, word): value for word, value in case.items() if word not in ("of", "rho")}
    if case["of"] == "sgd":
        options.setdefault("momentum", 0.0)
    optimizer = OPTIMIZERS[case["of"]](0.0, **options)
    model = hlb.SAM(keras.Sequential([keras.Input(RECORDED["x"].shape[2:]), Network()]), rho)
    model.compile(optimizer, "mse")
    found = []
    for x, y, rate in zip(RECORDED["x"], RECORDED["y"], RECORDED["rates"], strict=True):
        optimizer.learning_rate = rate
        model.train_on_batch(x, y)
        found.append({v.name: v.numpy().astype("float64") for v in model.variables if v.name in WEIGHTS})
    return found


@pytest.mark.parametrize("name", ABOUT["cases"])
def test_as_optax(name: str) -> None:
    case, answers = ABOUT["cases"][name], RECORDED[f"answers/{name}"]
    found = trained(case, case["rho"])
    assert len(found) == 50 and len(answers) == 8
    cuts = np.cumsum([WEIGHTS[name].size for name in TRAINED])[:-1]
    for step, row in zip(found[::7], answers, strict=True):
        for variable, expected in zip(TRAINED, np.split(row, cuts), strict=True):
            size = max(np.linalg.norm(expected), 1e-2)
            assert np.linalg.norm(step[variable].ravel() - expected) < 1e-5 * size, variable
    np.testing.assert_array_equal(found[-1]["frozen"], WEIGHTS["frozen"])
    np.testing.assert_array_equal(found[-1]["idle"], WEIGHTS["idle"])
    assert np.abs(found[-1]["zero"]).min() > 0


def test_the_perturbation_shows() -> None:
    """Without it the same 50 steps lead elsewhere, so the test above can fail."""
    case = ABOUT["cases"]["sgd"]
    sharp, plain = trained(case, case["rho"])[-1], trained(case, 0.0)[-1]
    assert max(np.abs(sharp[name] - plain[name]).max() for name in TRAINED) > 1e-2
