"""The rate callbacks: the closed form of the learning rate at every step, and the in-graph schedule's."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

import horovod_lb as hlb
from horovod_lb.errors import RecipeError
from horovod_lb.recipe import resolve
from horovod_lb.study.model import Recipe

N, B = 200, 25  # 8 steps an epoch


class Seen(keras.callbacks.Callback):
    """The rate in force at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.rates: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.rates.append(float(self.model.optimizer.learning_rate))


def network(optimizer: Any) -> Any:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    return model


def fit(
    callbacks: list[Any], rate: float = 0.1, epochs: int = 5, model: Any = None, **options: Any
) -> list[float]:
    seen = Seen()
    model = model or network(keras.optimizers.SGD(rate))
    x = np.zeros((N, 2), "float32")
    model.fit(x, x[:, :1], batch_size=B, epochs=epochs, verbose=0, callbacks=[*callbacks, seen], **options)
    return seen.rates


def test_linear_scaling_warmup_and_decay_hand_over() -> None:
    """η_ref 0.1 at 5, so the peak is 0.5; two and a half epochs of warmup are 20 steps; decay at step 32."""
    rates = fit([hlb.LinearScaling(B, 5), hlb.GradualWarmup(2.5), hlb.StepDecay([4], 0.1)])
    expected = [0.1 + 0.4 * t / 20 if t < 20 else 0.5 if t < 32 else 0.05 for t in range(40)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_the_worked_example_of_the_design() -> None:
    """N = 60,000, B = 8192: S = 7.32421875, so T_w = 36.62109375 and the ramp ends between two steps."""
    callbacks = [hlb.LinearScaling(8192, 256, reference_rate=0.1, examples=60_000), hlb.GradualWarmup(5)]
    rates = fit(callbacks, rate=0.7, epochs=6)
    assert rates[0] == pytest.approx(0.1)
    assert rates[10] == pytest.approx(0.1 + 3.1 * 10 / 36.62109375) == pytest.approx(0.94650667)
    assert rates[36] == pytest.approx(3.14742400)
    assert rates[37:] == [pytest.approx(3.2)] * 11


@pytest.mark.parametrize(
    ("start", "first"), [("reference", 0.1), ("zero", 0.0), (0.3, 0.3)], ids=["reference", "zero", "number"]
)
def test_starts_of_the_warmup(start: Any, first: float) -> None:
    rates = fit([hlb.LinearScaling(B, 5), hlb.GradualWarmup(1, start=start)], epochs=2)
    np.testing.assert_allclose(rates[:8], [first + (0.5 - first) * t / 8 for t in range(8)], rtol=1e-6)
    np.testing.assert_allclose(rates[8:], 0.5, rtol=1e-6)


def test_constant_warmup_jumps() -> None:
    rates = fit([hlb.LinearScaling(B, 5), hlb.ConstantWarmup(1.5)], epochs=3)
    np.testing.assert_allclose(rates, [0.1] * 12 + [0.5] * 12, rtol=1e-6)


def test_a_length_in_steps() -> None:
    rates = fit([hlb.LinearScaling(B, 5), hlb.GradualWarmup(steps=5)], epochs=1)
    np.testing.assert_allclose(rates, [0.1 + 0.4 * min(t, 5) / 5 for t in range(8)], rtol=1e-6)


def test_decay_alone_and_the_order_in_the_list_does_not_matter() -> None:
    rates = fit([hlb.StepDecay([1, 2.5], 0.5)], epochs=3)
    np.testing.assert_allclose(rates, [0.1] * 8 + [0.05] * 12 + [0.025] * 4, rtol=1e-6)
    callbacks = [hlb.StepDecay([2], 0.1), hlb.GradualWarmup(1), hlb.LinearScaling(B, 5)]
    assert fit(callbacks, epochs=3) == fit(callbacks[::-1], epochs=3)


def test_resume_in_the_middle_of_the_warmup() -> None:
    """`initial_epoch` and the optimizer's count of steps: the second half sees the rates of the whole."""

    def callbacks() -> list[Any]:
        return [hlb.LinearScaling(B, 5, reference_rate=0.1), hlb.GradualWarmup(2)]

    whole = fit(callbacks(), epochs=4)
    model = network(keras.optimizers.SGD(0.1))
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(8)
    assert fit(callbacks(), epochs=4, model=model, initial_epoch=1) == whole[8:]


def test_two_of_one_kind_are_an_error() -> None:
    with pytest.raises(RecipeError, match="two callbacks describe the warmup"):
        fit([hlb.GradualWarmup(1), hlb.ConstantWarmup(1)])


@pytest.mark.parametrize(
    "callback", [hlb.LinearScaling(B, 5), hlb.GradualWarmup(1), hlb.ConstantWarmup(1), hlb.StepDecay([1])]
)
def test_callbacks_and_schedule_at_once_are_an_error(callback: Any) -> None:
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    with pytest.raises(RecipeError, match="the optimizer has a schedule"):
        fit([callback], model=network(keras.optimizers.SGD(schedule)))


def test_several_steps_per_execution_are_an_error() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", steps_per_execution=4)
    with pytest.raises(RecipeError, match=r"steps_per_execution > 1.*RecipeSchedule"):
        fit([hlb.GradualWarmup(1)], model=model)


def test_a_warmup_longer_than_training_is_an_error() -> None:
    with pytest.raises(RecipeError, match=r"6 epochs of warmup are longer than the training of 5"):
        fit([hlb.GradualWarmup(6)])


@pytest.mark.parametrize("arguments", [{"epochs": 1, "start": "per_worker"}, {"epochs": 1, "steps": 5}])
def test_what_the_warmup_cannot_know_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="warmup"):
        hlb.GradualWarmup(**arguments)


def _job() -> Any:
    path = Path(__file__).parents[2] / "jobs" / "mnist_lenet.py"
    specification = importlib.util.spec_from_file_location("mnist_lenet", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "warmup": {"warmup": {"kind": "gradual", "epochs": 2.5}},
    "steps": {"warmup": {"kind": "gradual", "steps": 11}},
    "constant": {"warmup": {"kind": "constant", "epochs": 1.3, "start": 0.02}},
    "decay": {"schedule": {"kind": "step", "epochs": [2, 3.5], "factor": 0.3}},
    "anchored": {
        "warmup": {"kind": "gradual", "epochs": 1, "start": "zero"},
        "schedule": {"kind": "step", "epochs": [2], "factor": 0.1, "anchor": "after_warmup"},
    },
}


@pytest.mark.parametrize("remainder", ["continuous", "drop", "weighted", "wrap"])
@pytest.mark.parametrize("name", RECIPES)
def test_the_job_s_callbacks_are_the_in_graph_schedule(name: str, remainder: str) -> None:
    """For every recipe that the MNIST job takes: the same float32 at every step of training."""
    examples = 203
    stated = {
        "batch_size": B,
        "groups": 5,
        "epochs": 4,
        "reference": {"learning_rate": 0.01, "batch_size": 7},
        "scaling": "linear",
        "remainder": remainder,
        **RECIPES[name],
    }
    recipe = Recipe.model_validate(stated).model_dump()
    total = resolve(recipe, examples=examples, workers=1).timeline.total_steps
    schedule = hlb.RecipeSchedule(recipe, examples)
    run = SimpleNamespace(recipe=recipe, info=SimpleNamespace(train_examples=examples))
    model, seen = network(keras.optimizers.SGD(0.5)), Seen()
    hooks = keras.callbacks.CallbackList([*_job().rate_callbacks(run), seen], model=model, epochs=4, steps=9)
    hooks.on_train_begin()
    for step in range(total):
        model.optimizer.iterations.assign(step)
        hooks.on_train_batch_begin(step)
    found = [float(schedule(step)) for step in range(total)]
    assert seen.rates == found
    pace = {"continuous": examples / B, "drop": examples // B}.get(remainder, math.ceil(examples / B))
    assert total == math.ceil(4 * pace - 1e-9)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({}, True),
        ({"scaling": "sqrt"}, False),
        ({"warmup": {"kind": "cosine", "epochs": 1}}, False),
        ({"schedule": {"kind": "cosine"}}, False),
        ({"schedule": {"kind": "step", "epochs": [2]}}, True),
    ],
)
def test_the_job_knows_which_recipes_its_callbacks_can_say(section: dict[str, Any], said: bool) -> None:
    stated = {
        "batch_size": B,
        "groups": 5,
        "epochs": 4,
        "reference": {"learning_rate": 0.01, "batch_size": 7},
        "scaling": "linear",
    }
    recipe = Recipe.model_validate({**stated, **section}).model_dump()
    assert _job().has_callbacks(recipe) is said
