"""LARS and LAMB against optax's answers and against their papers' formulas."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from formulas import lamb, lars, path
from steps import Table, distance, problem, recorded, run, unpacked

from horovod_lb.optimizers import LAMB, LARS
from horovod_lb.optimizers.kernels import fuses

OPTAX_WORDS = {"trust_coefficient": "coefficient", "eps": "epsilon", "b1": "beta_1", "b2": "beta_2"}
CASES = [
    "lars",
    "lars-decay",
    "lars-nesterov",
    "lars-epsilon",
    "lars-excluded",
    "lamb",
    "lamb-decay",
    "lamb-betas",
    "lamb-excluded",
]


def like(case: dict[str, Any], rates: Any) -> Any:
    """Our optimizer with the options of an optax case."""
    options = {OPTAX_WORDS.get(word, word): value for word, value in case.items() if word != "of"}
    options["exclude_from_decay"] = options.pop("undecayed", [])
    options["exclude_from_adaptation"] = options.pop("unadapted", [])
    if case["of"] == "lars":
        return LARS(Table(rates), norm="joint", **options)
    return LAMB(Table(rates), **options)


def test_every_case_is_recorded() -> None:
    assert list(recorded()[3]) == sorted(CASES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_as_optax(name: str, dtype: str) -> None:
    """50 steps with changing rates. optax computed in float64; in float32 a scalar on its way through 0 loses
    digits against its value, though not against where it began.
    """
    weights, gradients, rates, cases, answers = recorded()
    found = run(like(cases[name], rates), weights, gradients, dtype=dtype)
    assert len(answers[name]) == 8
    for step, row in zip(found[::7], answers[name], strict=True):
        assert distance(step, unpacked(row, weights), weights if dtype == "float32" else None) < 1e-5


SUMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "decay": ({"weight_decay": 0.05}, {"decay": 0.05}),
    "nesterov": (
        {"weight_decay": 0.05, "nesterov": True, "coefficient": 0.02},
        {"decay": 0.05, "nesterov": True, "coefficient": 0.02},
    ),
    "correction": ({"weight_decay": 0.05, "correction": True}, {"decay": 0.05, "outside": True}),
}
UNDECAYED, UNADAPTED = ["scalar", "single", "vector", "random3"], ["vector", "kernel", "random4"]


@pytest.mark.parametrize(
    ("excluded", "dtype"), [(False, "float64"), (True, "float32")], ids=["all", "excluded"]
)
@pytest.mark.parametrize("name", SUMS)
def test_lars_with_the_sum_of_the_norms(name: str, excluded: bool, dtype: str) -> None:
    """The same 50 steps; optax has the joint norm only, so the reference is the paper's formula in NumPy."""
    weights, gradients, rates, _, _ = recorded()
    ours, theirs = SUMS[name]
    out = {"exclude_from_decay": UNDECAYED, "exclude_from_adaptation": UNADAPTED} if excluded else {}
    found = run(LARS(Table(rates), norm="sum", **ours, **out), weights, gradients, dtype=dtype)
    rules = {}
    for variable in weights:
        options = dict(theirs)
        if excluded and variable in UNDECAYED:
            options["decay"] = 0.0
        rules[variable] = lars(adapted=not (excluded and variable in UNADAPTED), **options)
    for step, wanted in zip(found, path(rules, weights, gradients, rates), strict=True):
        assert distance(step, wanted, weights if dtype == "float32" else None) < 1e-5


LARS_OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "decay": ({"weight_decay": 0.1}, {"decay": 0.1}),
    "joint": ({"weight_decay": 0.1, "norm": "joint"}, {"decay": 0.1, "norm": "joint"}),
    "nesterov": (
        {"weight_decay": 0.1, "nesterov": True, "momentum": 0.7},
        {"decay": 0.1, "nesterov": True, "momentum": 0.7},
    ),
    "correction": ({"weight_decay": 0.1, "correction": True}, {"decay": 0.1, "outside": True}),
    "correction-nesterov": (
        {"correction": True, "nesterov": True, "norm": "joint", "weight_decay": 0.2},
        {"outside": True, "nesterov": True, "norm": "joint", "decay": 0.2},
    ),
    "coefficient": ({"coefficient": 0.01, "epsilon": 0.5}, {"coefficient": 0.01, "epsilon": 0.5}),
    "bounds": ({"min_ratio": 0.3, "max_ratio": 0.8}, {"low": 0.3, "high": 0.8}),
    "bound-below-1": ({"max_ratio": 0.2, "weight_decay": 0.1}, {"high": 0.2, "decay": 0.1}),
    "no-momentum": ({"momentum": 0.0, "weight_decay": 0.1}, {"momentum": 0.0, "decay": 0.1}),
}


@pytest.mark.parametrize("graph", [True, False], ids=["graph", "eager"])
@pytest.mark.parametrize("name", LARS_OPTIONS)
def test_lars_by_the_formula(name: str, graph: bool) -> None:
    weights, gradients, rates = problem()
    ours, theirs = LARS_OPTIONS[name]
    found = run(LARS(Table(rates), **ours), weights, gradients, graph)
    expected = path({variable: lars(**theirs) for variable in weights}, weights, gradients, rates)
    for step, wanted in zip(found, expected, strict=True):
        assert distance(step, wanted) < 3e-6
    assert np.abs(found[-1]["zero"]).min() > 0, "weights that begin at 0 must move"


LAMB_OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "decay": ({"weight_decay": 0.1}, {"decay": 0.1}),
    "no-correction": ({"bias_correction": False, "weight_decay": 0.1}, {"correct": False, "decay": 0.1}),
    "betas": (
        {"beta_1": 0.0, "beta_2": 0.0, "epsilon": 0.01},
        {"beta_1": 0.0, "beta_2": 0.0, "epsilon": 0.01},
    ),
    "bounds": ({"min_ratio": 0.5, "max_ratio": 0.9}, {"low": 0.5, "high": 0.9}),
    "phi": (
        {"min_norm": 0.4, "max_norm": 3.0, "weight_decay": 0.1},
        {"phi": lambda z: min(max(z, 0.4), 3.0), "decay": 0.1},
    ),
}


@pytest.mark.parametrize("graph", [True, False], ids=["graph", "eager"])
@pytest.mark.parametrize("name", LAMB_OPTIONS)
def test_lamb_by_the_formula(name: str, graph: bool) -> None:
    weights, gradients, rates = problem()
    ours, theirs = LAMB_OPTIONS[name]
    found = run(LAMB(Table(rates), **ours), weights, gradients, graph)
    expected = path({variable: lamb(**theirs) for variable in weights}, weights, gradients, rates)
    for step, wanted in zip(found, expected, strict=True):
        assert distance(step, wanted) < 3e-6


def test_without_decay_lamb_is_that_of_keras() -> None:
    weights, gradients, rates = problem()
    found = run(LAMB(Table(rates)), weights, gradients)
    keras_lamb = run(keras.optimizers.Lamb(Table(rates), epsilon=1e-6), weights, gradients)
    assert distance(found[-1], keras_lamb[-1]) < 2e-5  # Keras' correction of the bias is in float32


@pytest.mark.parametrize("make", [LARS, LAMB])
@pytest.mark.parametrize("size", [1e-8, 1e-3, 1e6])
def test_the_step_does_not_depend_on_the_size_of_the_gradient(make: Any, size: float) -> None:
    """Without decay; to the bit for powers of 2. LAMB's ε must be small beside the gradients."""
    weights, gradients, rates = problem()
    power = 2.0 ** np.round(np.log2(size))
    options = {"epsilon": 1e-30} if make is LAMB else {}
    scaled = [{name: value * np.float32(power) for name, value in step.items()} for step in gradients]
    for name in ("zero", "idle"):
        weights[name] = np.ones_like(weights[name])
    one = run(make(Table(rates), **options), weights, gradients)[-1]
    other = run(make(Table(rates), **options), weights, scaled)[-1]
    for name in weights:
        np.testing.assert_allclose(other[name], one[name], rtol=1e-6)


def test_the_first_step_of_lars_is_its_rate_times_the_norm_of_the_weights() -> None:
    """‖Δw‖ = η·c·‖w‖ without decay, whatever the gradient."""
    weights, gradients, _ = problem()
    found = run(LARS(0.25, coefficient=0.5), weights, gradients[:1])[0]
    for name in ("scalar", "vector", "kernel", "filters"):
        moved, size = np.linalg.norm(found[name] - weights[name]), np.linalg.norm(weights[name])
        assert moved == pytest.approx(0.125 * size, rel=1e-5)


def test_correction_at_a_constant_rate_changes_nothing() -> None:
    weights, gradients, _ = problem()
    one = run(LARS(0.05, weight_decay=0.1), weights, gradients)[-1]
    assert distance(run(LARS(0.05, weight_decay=0.1, correction=True), weights, gradients)[-1], one) < 3e-6


def test_the_rate_is_inside_the_buffer() -> None:
    """At changing rates the two forms part, so the comparisons above tell them apart."""
    weights, gradients, rates = problem()
    inside = run(LARS(Table(rates)), weights, gradients)[-1]
    assert distance(run(LARS(Table(rates), correction=True), weights, gradients)[-1], inside) > 1e-2


@pytest.mark.parametrize("make", [LARS, LAMB])
def test_clipping_comes_before_the_ratio(make: Any) -> None:
    """By the global norm: min(1, c/‖g‖) times each gradient, then the step."""
    weights, gradients, rates = problem()
    found = run(make(Table(rates), weight_decay=0.1, global_clipnorm=50.0), weights, gradients)[-1]
    clipped = []
    for step in gradients:
        norm = np.sqrt(sum(float((value.astype("float64") ** 2).sum()) for value in step.values()))
        assert norm > 50
        clipped.append({name: value.astype("float64") * 50 / norm for name, value in step.items()})
    rule = lars if make is LARS else lamb
    expected = path({name: rule(decay=0.1) for name in weights}, weights, clipped, rates)[-1]
    assert distance(found, expected) < 3e-6


@pytest.mark.parametrize("make", [LARS, LAMB])
def test_accumulation_of_keras(make: Any) -> None:
    weights, gradients, _ = problem()
    optimizer = make(0.05, weight_decay=0.1, gradient_accumulation_steps=2, record_ratios=True)
    found = run(optimizer, weights, gradients)[1::2]
    means = [
        {name: (one[name].astype("float64") + two[name]) / 2 for name in one}
        for one, two in zip(gradients[::2], gradients[1::2], strict=True)
    ]
    rule = lars if make is LARS else lamb
    expected = path({name: rule(decay=0.1) for name in weights}, weights, means, [0.05] * len(means))
    assert distance(found[-1], expected[-1]) < 3e-6


@pytest.mark.parametrize("make", [LARS, LAMB])
def test_an_embedding_is_adapted_as_a_whole_table(make: Any) -> None:
    rows, values = [3, 1, 3], np.random.default_rng(1).normal(size=(3, 4)).astype("float32")
    start = np.random.default_rng(2).normal(size=(5, 4)).astype("float32")
    found = []
    for dense in (False, True):
        variable = keras.Variable(start)
        optimizer = make(0.1, weight_decay=0.01)
        for _ in range(3):
            gradient: Any = tf.IndexedSlices(tf.constant(values), tf.constant(rows), tf.constant([5, 4]))
            optimizer.apply([tf.convert_to_tensor(gradient) if dense else gradient], [variable])
        found.append(variable.numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)
    assert (found[0] != start).all(), "rows without a gradient decay, or move on by their moments"


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
@pytest.mark.parametrize("make", [LARS, LAMB])
def test_variables_of_other_dtypes(make: Any, dtype: str) -> None:
    """Norms of half-precision weights are float32: 3000 weights of 300 have a square sum of 2.7e8."""
    stream = np.random.default_rng(5)
    weights = {"kernel": stream.normal(size=(60, 50)) * 300}
    gradients = [{"kernel": stream.normal(size=(60, 50))} for _ in range(3)]
    options: dict[str, Any] = {"epsilon": 1e-3} if make is LAMB else {}
    found = run(make(0.05, **options), weights, gradients, dtype=dtype)[-1]["kernel"]
    rule = lars() if make is LARS else lamb(**options)
    expected = path({"kernel": rule}, weights, gradients, [0.05] * 3)[-1]["kernel"]
    within = {"float64": 1e-6, "bfloat16": 0.02, "float16": 0.01}[dtype]
    assert np.linalg.norm(found - expected) < within * np.linalg.norm(expected)
    assert np.linalg.norm(found - weights["kernel"]) > 0.03 * np.linalg.norm(expected)


@pytest.mark.parametrize("make", [LARS, LAMB])
def test_outside_of_fused_kernels(make: Any) -> None:
    """Under TensorFlow's own distribution strategies the steps go by `keras.ops`, with the same result."""
    x, y = np.random.default_rng(1).normal(size=(2, 12, 3)).astype("float32")

    def trained() -> list[np.ndarray]:
        keras.utils.set_random_seed(4)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
        model.compile(make(0.1, weight_decay=0.1), "mse")
        model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
        return [variable.numpy() for variable in model.trainable_variables]

    expected = trained()
    with tf.distribute.MirroredStrategy(["cpu:0"]).scope():
        assert not fuses(keras.Variable(1.0))
        found = trained()
    assert fuses(keras.Variable(1.0))
    for value, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6)
