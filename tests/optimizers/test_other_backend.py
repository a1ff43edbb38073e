"""The same optimizers on JAX: eager, and compiled by `stateless_apply`, in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROGRAM = """
import keras
import numpy as np
from formulas import adam, lamb, lars, layerwise, path, sgd
from steps import Table, distance, problem, run

from horovod_lb.optimizers import LAMB, LARS, LayerWise, MomentumSGD

assert keras.backend.backend() == "jax"
weights, gradients, rates = problem()
constant = [0.05] * len(rates)
cases = [
    (lambda: LARS(Table(rates), weight_decay=0.1, record_ratios=True), lambda: lars(decay=0.1), rates),
    (
        lambda: LARS(Table(rates), norm="joint", nesterov=True, correction=True, weight_decay=0.1),
        lambda: lars(norm="joint", nesterov=True, outside=True, decay=0.1),
        rates,
    ),
    (lambda: LAMB(Table(rates), weight_decay=0.1, record_ratios=True), lambda: lamb(decay=0.1), rates),
    (
        lambda: LayerWise(MomentumSGD(Table(rates)), 0.1, 2.0, record_ratios=True),
        lambda: layerwise(sgd(0.9), "update", 0.1, 2.0),
        rates,
    ),
    (lambda: LayerWise(keras.optimizers.Adam(0.05)), lambda: layerwise(adam(), "update"), constant),
    (
        lambda: LayerWise(keras.optimizers.Adam(0.05), on="gradient"),
        lambda: layerwise(adam(), "gradient"),
        constant,
    ),
]
for make, rule, by in cases:
    expected = path({name: rule() for name in weights}, weights, gradients, by)
    for graph in (False, True):
        optimizer = make()
        found = run(optimizer, weights, gradients, graph)
        assert distance(found[-1], expected[-1], weights) < 1e-5, (optimizer.name, graph)
        if getattr(optimizer, "record_ratios", False):
            assert all(np.isfinite(value) for value in optimizer.trust_ratios().values()), optimizer.name
print("same", len(cases))
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed: pip install jax")
def test_on_jax() -> None:
    paths = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["same", "6"]
