"""From the words of a study to optimizers, and back from a checkpoint."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from horovod_lb.distributed import DistributedOptimizer, init
from horovod_lb.optimizers import LAMB, LARS, LayerWise, MomentumSGD
from horovod_lb.recipe import resolve
from horovod_lb.study import expand, load_study
from horovod_lb.study.model import Recipe
from horovod_lb.training import build, checkpoint

STUDY = """
name: words
job: job.py
model: {name: lenet5}
data: {name: custom, examples: 600}
recipe:
  epochs: 3
  batch_size: 60
  reference: {learning_rate: 0.1}
"""


def recipe(**words: Any) -> dict[str, Any]:
    stated = {"epochs": 3, "batch_size": 60, "reference": {"learning_rate": 0.1}, **words}
    return Recipe.model_validate(stated).model_dump()


def made(**words: Any) -> Any:
    run = SimpleNamespace(recipe=recipe(**words), info=SimpleNamespace(train_examples=600))
    return build.optimizer(run, learning_rate=0.1)


def network() -> Any:
    keras.utils.set_random_seed(1)
    image = keras.Input((5,))
    x = keras.layers.Dense(4, use_bias=False, name="first")(image)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(name="norm")(x))
    return keras.Model(image, keras.layers.Dense(3, name="last")(x))


def test_every_option_arrives() -> None:
    lars = {
        "momentum": 0.8,
        "nesterov": True,
        "correction": True,
        "coefficient": 0.01,
        "norm": "joint",
        "epsilon": 0.1,
        "min_ratio": 0.2,
        "max_ratio": 5.0,
    }
    found = made(optimizer={"kind": "lars", **lars}, weight_decay={"value": 0.3}, clip_global_norm=2.0)
    config = found.get_config()
    assert isinstance(found, LARS) and {key: config[key] for key in lars} == lars
    assert (config["weight_decay"], config["global_clipnorm"]) == (0.3, 2.0)
    lamb = {
        "beta_1": 0.8,
        "beta_2": 0.9,
        "epsilon": 0.1,
        "bias_correction": False,
        "min_norm": 0.1,
        "max_norm": 3.0,
        "min_ratio": 0.2,
        "max_ratio": 5.0,
    }
    found = made(optimizer={"kind": "lamb", **lamb}, weight_decay={"value": 0.3, "kind": "decoupled"})
    config = found.get_config()
    assert isinstance(found, LAMB) and {key: config[key] for key in lamb} == lamb
    assert config["weight_decay"] == 0.3


@pytest.mark.parametrize("kind", ["momentum", "sgd", "adam", "adamw", "rmsprop", "adagrad"])
def test_layerwise_around_every_kind(kind: str) -> None:
    plain = made(optimizer={"kind": kind})
    found = made(optimizer={"kind": kind, "layerwise": {"on": "gradient", "min": 0.1, "max": 3}})
    assert isinstance(found, LayerWise) and type(found.inner_optimizer) is type(plain)
    assert (found.on, found.ratio.min_ratio, found.ratio.max_ratio) == ("gradient", 0.1, 3.0)
    assert made(optimizer={"kind": kind, "layerwise": {}}).on == "update"


@pytest.mark.parametrize(
    ("kind", "decay", "penalty", "inside"),
    [
        ("momentum", "l2", 0.3, None),
        ("momentum", "decoupled", 0.0, 0.3),
        ("lars", "l2", 0.0, 0.3),
        ("lamb", "l2", 0.3, 0.0),
        ("lamb", "decoupled", 0.0, 0.3),
    ],
)
def test_the_decay_is_in_one_place(kind: str, decay: str, penalty: float, inside: float | None) -> None:
    words = {"optimizer": {"kind": kind}, "weight_decay": {"value": 0.3, "kind": decay}}
    optimizer = DistributedOptimizer(made(**words))
    assert build.penalty(recipe(**words), optimizer) == penalty
    assert optimizer.inner_optimizer.weight_decay == inside


def test_warnings_and_refusals() -> None:
    decay = {"value": 0.1, "kind": "l2"}
    lamb = recipe(optimizer={"kind": "lamb"}, weight_decay=decay)
    assert "into its moments" in resolve(lamb, examples=600, workers=1).warnings[0]
    lamb["weight_decay"]["kind"] = "decoupled"
    assert resolve(lamb, examples=600, workers=1).warnings == ()
    lars = recipe(optimizer={"kind": "lars"}, weight_decay=decay)
    assert resolve(lars, examples=600, workers=1).warnings == ()


@pytest.mark.parametrize("kind", ["lars", "lamb", "adam"])
def test_exclusions_reach_the_optimizer(kind: str) -> None:
    exclude = ["normalization"]
    optimizer: dict[str, Any] = {"kind": kind}
    optimizer |= {"layerwise": {"exclude": exclude}} if kind == "adam" else {"exclude": exclude}
    decay = {"value": 0.3, "kind": "l2" if kind == "lars" else "decoupled", "exclude": ["bias"]}
    words = {"optimizer": optimizer, "weight_decay": decay}
    model, found = network(), DistributedOptimizer(made(**words))
    build.exclude(recipe(**words), found, model)
    found.build(model.trainable_variables)
    inner = found.inner_optimizer
    assert inner.exclude_from_adaptation == ("norm/gamma", "norm/beta")
    if kind == "adam":
        used = [v.path for v in model.trainable_variables if inner.inner_optimizer._use_weight_decay(v)]
        assert used == ["first/kernel", "norm/gamma", "norm/beta", "last/kernel"]
    else:
        assert inner.exclude_from_decay == ("last/bias",)


@pytest.fixture(scope="module")
def horovod() -> None:
    init(threads=1)


@pytest.mark.usefixtures("horovod")
@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("kind", ["lars", "lamb", "layerwise"])
def test_a_checkpoint_holds_all_state(kind: str, precision: str, tmp_path: Path) -> None:
    """Two steps, a checkpoint, two steps; and the last two again from the file, to the bit."""
    keras.config.set_dtype_policy(build.policy(precision))
    try:
        stream = np.random.default_rng(0)
        x, y = (
            stream.normal(size=(4, 8, 5)).astype("float32"),
            stream.normal(size=(4, 8, 3)).astype("float32"),
        )

        def fresh() -> tuple[Any, Any, Any]:
            word = {"kind": "adam", "layerwise": {"max": 3}} if kind == "layerwise" else {"kind": kind}
            model, optimizer = network(), DistributedOptimizer(made(optimizer=word))
            optimizer.build(model.trainable_variables)

            @tf.function
            def step(x: Any, y: Any) -> None:
                with tf.GradientTape() as tape:
                    error = tf.cast(model(x, training=True), tf.float32) - y
                    loss = optimizer.scale_loss(tf.reduce_mean(tf.square(error)))
                gradients = tape.gradient(loss, model.trainable_variables)
                optimizer.apply(gradients, model.trainable_variables)

            return model, checkpoint.state_variables(model, optimizer), step

        model, state, step = fresh()
        for index in range(4):
            if index == 2:
                meta = {"paths": [variable.path for variable in state], "position": {}}
                checkpoint.write(tmp_path / "step.npz", [np.array(v) for v in state], meta)
            step(x[index], y[index])
        again, other, step = fresh()
        checkpoint.fill(other, checkpoint.read(tmp_path / "step.npz"))
        for index in (2, 3):
            step(x[index], y[index])
        assert not any(v.path.endswith("learning_rate") for v in state)
        for found, expected in zip([*again.variables, *other], [*model.variables, *state], strict=True):
            np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
        moved = np.abs(again.get_layer("first").kernel.numpy() - network().get_layer("first").kernel.numpy())
        assert moved.max() > 1e-2
    finally:
        keras.config.set_dtype_policy("float32")


def identity(folder: Path, words: str) -> str:
    (folder / "job.py").write_text("def main(run):\n    pass\n")
    (folder / "study.yaml").write_text(STUDY + words)
    (run,) = expand(load_study(folder / "study.yaml"))
    return run.run_id


def test_studies_without_the_new_words_keep_their_ids(tmp_path: Path) -> None:
    """Against the hash of what such a study had in its identity before there were trust ratios."""
    before = {
        "axes": {},
        "data": {"examples": 600, "name": "custom"},
        "job": "job.py",
        "measure": [],
        "model": {"name": "lenet5"},
        "recipe": {
            "batch_size": 60,
            "epochs": 3,
            "groups": 1,
            "optimizer": {"beta_1": 0.8, "kind": "adam"},
            "reference": {"learning_rate": 0.1},
        },
        "schema": 1,
        "seed": 0,
    }
    text = json.dumps(before, sort_keys=True, separators=(",", ":"))
    expected = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
    assert identity(tmp_path, "  optimizer: {kind: adam, beta_1: 0.8}\n") == expected
    assert identity(tmp_path, "  optimizer: {kind: adam, beta_1: 0.8, layerwise: null}\n") == expected
    around = {
        identity(tmp_path, f"  optimizer: {{kind: adam, beta_1: 0.8, layerwise: {words}}}\n")
        for words in ("{}", "{on: update, min: 0}", "{exclude: []}")
    }
    assert len(around) == 1 and around != {expected}
    assert identity(tmp_path, "  optimizer: {kind: lars}\n") == identity(
        tmp_path, "  optimizer: {kind: lars, coefficient: 1, norm: sum, correction: false, exclude: []}\n"
    )


def test_momentum_is_as_it_was() -> None:
    assert isinstance(made(), MomentumSGD)
