"""The same noise on JAX: eager, compiled and by `stateless_apply`, in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import jax
import keras
import numpy as np

from horovod_lb.noise import ActivationNoise, GradientNoise, WeightNoise, normal

assert keras.backend.backend() == "jax"
eager = np.asarray(normal((4000,), 1, 2, 0, 3))
compiled = np.asarray(jax.jit(lambda step: normal((4000,), 1, 2, 0, step))(3))
np.testing.assert_allclose(eager, compiled, rtol=1e-6)
assert abs(eager.std() - 1) < 0.05

zeros = np.zeros(4000, "float32")
variable = keras.Variable(zeros)
noise = WeightNoise([variable], 0.5, 1)
noise.move(0)
assert abs(np.asarray(variable).std() - 0.5) < 0.03
noise.restore()
np.testing.assert_array_equal(variable, zeros)

optimizer = GradientNoise(keras.optimizers.SGD(1.0), 0.1, 1.0)
optimizer.build([variable])
state = [value.value for value in optimizer.variables]
(stateless,), _ = optimizer.stateless_apply(state, [zeros], [variable.value])
for step in range(2):
    before = np.asarray(variable).copy()
    optimizer.apply([zeros], [variable])
    if step == 0:
        np.testing.assert_allclose(variable, stateless, rtol=1e-6)
    assert abs((np.asarray(variable) - before).std() / (0.1 / (1 + step) ** 0.5) - 1) < 0.05

model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(1)])
model.compile(GradientNoise(keras.optimizers.SGD(0.01), 0.1), "mse")
x = np.ones((8, 4))
plain = np.asarray(model(x))
with ActivationNoise(model, 0.3):
    assert not np.array_equal(model(x, training=True), plain)
    np.testing.assert_array_equal(model(x, training=False), plain)
    model.fit(x, x[:, :1], verbose=0)
print("same")
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed: pip install jax")
def test_on_jax() -> None:
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.stdout.strip() == "same", done.stdout + done.stderr
