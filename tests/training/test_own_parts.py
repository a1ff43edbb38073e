"""What a job brings of its own to `run.fit`, and the words of the study that it would not heed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import horovod_lb as hlb
from horovod_lb.distributed.loss_scale import FixedLossScale
from horovod_lb.errors import RecipeError
from horovod_lb.recipe import resolve
from horovod_lb.runs import RunDirectory
from horovod_lb.study import expand, load_study
from horovod_lb.study.model import Recipe
from horovod_lb.training.build import rate_of_last_update
from horovod_lb.training.loss import cross_entropy
from horovod_lb.training.step import TrainingStep
from horovod_lb.training.worker import execute

STUDY = """
name: own
job: job.py
model: {name: digits_cnn}
data: {name: synthetic, classes: 10, shape: [8, 8, 1], examples: 60, val_examples: 10, test_examples: 10}
recipe: {epochs: 2, batch_size: 30, reference: {learning_rate: 0.05}}
"""


@pytest.fixture(autouse=True, scope="module")
def horovod() -> None:
    hlb.init()


def dense() -> Any:
    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])


def performed(folder: Path, main: Callable[[Any], Any], *words: str) -> RunDirectory:
    (folder / "job.py").write_text("def main(run):\n    pass\n")
    (folder / "study.yaml").write_text(STUDY)
    (spec,) = expand(load_study(folder / "study.yaml", words))
    directory = RunDirectory(folder / "run").create(spec.spec)
    execute(directory.path, main)
    return directory


def test_label_smoothing_does_not_reach_a_loss_of_the_jobs_own(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"label_smoothing: .* was given a loss of its own") as caught:
        performed(tmp_path, lambda run: run.fit(dense(), loss=cross_entropy), "recipe.label_smoothing=0.1")
    assert caught.value.key == "recipe.label_smoothing"


def test_ghosts_that_the_model_does_not_have(tmp_path: Path) -> None:
    words = ("model.name=mine", "model.batch_norm=ghost", "model.ghost_size=5")
    with pytest.raises(RecipeError, match="ghost, and the model has no ghost layer"):
        performed(tmp_path, lambda run: run.fit(dense()), *words)


def test_noise_on_activations_that_there_are_not(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"noise\.activations: the model has no hidden layer"):
        performed(tmp_path, lambda run: run.fit(dense()), "recipe.noise.activations=0.1")


def test_the_rate_in_the_table_is_that_of_the_jobs_own_schedule(tmp_path: Path) -> None:
    cosine = keras.optimizers.schedules.CosineDecay(0.3, decay_steps=4)
    directory = performed(tmp_path, lambda run: run.fit(dense(), keras.optimizers.SGD(cosine)))
    expected = [0.15 * (1 + np.cos(np.pi * t / 4)) for t in (1, 3)]
    assert [row["learning_rate"] for row in directory.read_metrics()] == pytest.approx(expected)


def test_a_skipped_step_leaves_the_rate_where_it_was() -> None:
    recipe = Recipe.model_validate(
        {
            "batch_size": 10,
            "groups": 1,
            "epochs": 1,
            "reference": {"learning_rate": 0.5},
            "schedule": {"kind": "polynomial", "power": 1},
        }
    ).model_dump()
    rates = resolve(recipe, examples=100, workers=1)
    weight = keras.Variable([1.0])
    optimizer = hlb.DistributedOptimizer(
        FixedLossScale(keras.optimizers.SGD(hlb.RecipeSchedule(recipe, 100)), 8.0)
    )
    found = []
    for gradient in (8.0, np.inf, 8.0, np.nan, 8.0):
        before = weight.numpy()
        optimizer.apply([tf.constant([gradient], tf.float32)], [weight])
        moved = float((before - weight.numpy())[0])  # the rate itself: the gradient is 1
        found.append(rate_of_last_update(optimizer, rates))
        assert moved == pytest.approx(found[-1] if np.isfinite(gradient) else 0.0, abs=1e-6)
    assert found == [rates.rate(t) for t in (0, 0, 1, 1, 2)]


def test_weights_in_double_precision() -> None:
    """Mean ½‖xW‖² over unequal groups, and λw: W − η(A + λ)W."""
    stream = np.random.default_rng(0)
    x = stream.normal(size=(10, 4)).astype("float32")
    keras.utils.set_random_seed(0)
    layer = keras.layers.Dense(3, use_bias=False, dtype="float64")
    model = keras.Sequential([keras.Input((4,)), layer])
    for own in ({"noise": None}, {"sam": {"rho": 0.0, "group": 2, "adaptive": False, "decay_at": "w"}}):
        w = layer.kernel.numpy()
        optimizer = hlb.DistributedOptimizer(keras.optimizers.SGD(0.1))
        optimizer.build(model.trainable_variables)
        step = TrainingStep(
            model,
            optimizer,
            loss=lambda labels, outputs: 0.5 * tf.cast(tf.reduce_sum(outputs**2, -1), tf.float32),
            penalty=0.5,
            penalized=model.trainable_variables,
            groups=4,
            **own,
        )
        parts = [(x[a:b], np.zeros(b - a, int)) for a, b in ((0, 2), (2, 5), (5, 7), (7, 10))]
        step(0, parts, 0, 10, 1)
        gradient = x.T.astype("float64") @ x @ w / 10 + 0.5 * w
        np.testing.assert_allclose(layer.kernel.numpy(), w - 0.1 * gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("word", "options"),
    [
        ("recipe.clip_global_norm=0.5", {"global_clipnorm": 0.5}),
        ("recipe.ema={decay: 0.9}", {"use_ema": True}),
        ("recipe.weight_decay={value: 0.01, kind: decoupled}", {"weight_decay": 0.01}),
        ("recipe.noise.gradients=0.1", None),
    ],
)
def test_words_that_an_optimizer_of_the_jobs_own_does_not_heed(
    tmp_path: Path, word: str, options: dict[str, Any] | None
) -> None:
    key = word.partition("=")[0]
    with pytest.raises(RecipeError, match=rf"{key}: run\.fit was given an optimizer") as caught:
        performed(tmp_path, lambda run: run.fit(dense(), keras.optimizers.SGD(0.1)), word)
    assert caught.value.key == key
    (tmp_path / "heeded").mkdir()
    made = None if options is None else keras.optimizers.SGD(0.1, **options)
    directory = performed(tmp_path / "heeded", lambda run: run.fit(dense(), made), word)
    assert directory.state() == "completed"


def test_a_loss_scale_under_which_no_gradient_is_finite_is_no_success(tmp_path: Path) -> None:
    words = ("recipe.precision=float16", "recipe.loss_scale=1.0e+38")
    directory = performed(tmp_path, lambda run: run.fit(dense()), *words)
    assert directory.state() == "diverged"
    assert directory.read_exit()["reason"] == "not one gradient has been finite at step 3"
    assert directory.read_metrics()[-1]["skipped_steps"] == 4


@pytest.mark.parametrize(
    "kind", ["{kind: lamb}", "{kind: adam, layerwise: {max: 10}}", "{kind: lars}", "{kind: momentum}"]
)
def test_the_recipes_own_optimizer_heeds_all_words_at_once(tmp_path: Path, kind: str) -> None:
    words = [
        f"recipe.optimizer={kind}",
        "recipe.clip_global_norm=0.5",
        "recipe.ema={decay: 0.9}",
        "recipe.noise.gradients=0.001",
        "recipe.precision=float16",
        "recipe.loss_scale=128.0",
        f"recipe.weight_decay={{value: 0.01, kind: {'l2' if 'lars' in kind else 'decoupled'}}}",
    ]
    assert performed(tmp_path, lambda run: run.fit(dense()), *words).state() == "completed"
