"""Every optimizer and layer, with other options than the default, saved and loaded: it goes on exactly."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from everything import OPTIONS, signature
from steps import Table

import horovod_lb as hlb
from horovod_lb.distributed import DistributedOptimizer
from horovod_lb.distributed.loss_scale import FixedLossScale
from horovod_lb.layers import Alone, GhostBatchNormalization, SyncBatchNormalization
from horovod_lb.models.shortcut import PaddedShortcut
from horovod_lb.noise import GradientNoise
from horovod_lb.optimizers import LAMB, LARS, LayerWise, MomentumSGD
from horovod_lb.sam import SAM

COMMON = {
    "learning_rate": 0.125,
    "weight_decay": 0.01,
    "clipnorm": 2.0,
    "use_ema": True,
    "ema_momentum": 0.75,
    "ema_overwrite_frequency": 3,
    "loss_scale_factor": 4.0,
    "gradient_accumulation_steps": 2,
    "name": "mine",
}
# Keras clips by one of the three alone, so the other two and a schedule make variants of their own.
CLIPPED = [{"global_clipnorm": 1.5, "learning_rate": Table(np.linspace(0.1, 0.5, 20))}, {"clipvalue": 0.5}]
MOMENTUM = {"momentum": 0.75, "nesterov": True}
RATIO = {
    "min_ratio": 0.01,
    "max_ratio": 3.0,
    "exclude_from_adaptation": ["vectors"],
    "exclude_from_decay": ["net/one/kernel"],
    "record_ratios": True,
}
NORMALIZATION = {
    "unbiased": True,
    "axis": 1,
    "momentum": 0.75,
    "epsilon": 0.01,
    "center": False,
    "scale": False,
    "beta_initializer": keras.initializers.Constant(0.5),
    "gamma_initializer": keras.initializers.Constant(0.25),
    "beta_regularizer": keras.regularizers.L2(0.1),
    "gamma_regularizer": keras.regularizers.L2(0.2),
    "beta_constraint": keras.constraints.NonNeg(),
    "gamma_constraint": keras.constraints.MaxNorm(1.0),
    "moving_mean_initializer": keras.initializers.Constant(0.5),
    "moving_variance_initializer": keras.initializers.Constant(2.0),
}
TRAINED = {**NORMALIZATION, "center": True, "scale": True}


def adam() -> Any:
    return keras.optimizers.Adam(0.0625, weight_decay=0.03125, gradient_accumulation_steps=2)


def variants() -> dict[type, list[dict[str, Any]]]:
    """Of each class: sets of options, together all of them, none as by default in the first one."""
    lars = {**COMMON, **MOMENTUM, **RATIO, "correction": True, "coefficient": 0.5, "norm": "joint"}
    lamb = {"beta_1": 0.75, "beta_2": 0.9375, "bias_correction": False, "min_norm": 0.125, "max_norm": 4.0}
    return {
        MomentumSGD: [{**COMMON, **MOMENTUM, "correction": False}, *CLIPPED],
        LARS: [{**lars, "epsilon": 0.001}, *CLIPPED],
        LAMB: [{**COMMON, **RATIO, **lamb, "epsilon": 0.001}, *CLIPPED],
        LayerWise: [
            {**RATIO, "optimizer": adam(), "on": "gradient", "coefficient": 0.5, "epsilon": 0.5, "name": "w"},
            *({"optimizer": kind(0.0625), "max_ratio": 2.0} for kind in INNER),
        ],
        GradientNoise: [{"optimizer": adam(), "stddev": 0.1, "decay": 0.5, "seed": 7, "name": "n"}],
        DistributedOptimizer: [
            {
                "optimizer": adam(),
                "bucket_bytes": 64,
                "compression": "fp16",
                "sparse_as_dense": True,
                "name": "d",
            },
            {"optimizer": LayerWise(MomentumSGD(0.125, gradient_accumulation_steps=3), max_ratio=2.0)},
            {"optimizer": keras.optimizers.LossScaleOptimizer(LARS(0.125), initial_scale=8.0)},
        ],
        FixedLossScale: [{"optimizer": keras.optimizers.Adam(0.0625), "scale": 8.0, "name": "f"}],
        GhostBatchNormalization: [{**NORMALIZATION, "group_size": 3}, {**TRAINED, "group_size": 3}],
        SyncBatchNormalization: [{**NORMALIZATION, "collective": Alone()}, TRAINED],
        PaddedShortcut: [{"filters": 5, "stride": 2}],
        SAM: [{"rho": 0.5, "adaptive": True, "group": "global", "name": "s"}],
    }


INNER = [
    keras.optimizers.SGD,
    keras.optimizers.Adagrad,
    keras.optimizers.RMSprop,
    keras.optimizers.Adam,
    keras.optimizers.AdamW,
    keras.optimizers.Adadelta,
    keras.optimizers.Adamax,
    keras.optimizers.Nadam,
    keras.optimizers.Ftrl,
    keras.optimizers.Lion,
    keras.optimizers.Adafactor,
]
# What a loaded object does not have of its constructor's options, and why.
ELSEWHERE = {
    (SyncBatchNormalization, "collective"),  # a model is loaded by a process that is alone
    (SAM, "model"),  # compared by what it does
}
RENAMED = {(FixedLossScale, "optimizer"): "inner_optimizer"}  # as in Keras' LossScaleOptimizer
CASES = [
    pytest.param(kind, number, id=f"{kind.__name__}-{number}")
    for kind, options in variants().items()
    for number in range(len(options))
]


def network(kind: type, options: dict[str, Any]) -> Any:
    """A compiled model with one optimizer or layer of this kind in it."""
    keras.utils.set_random_seed(3)
    images = keras.layers.Reshape((4, 3, 1))
    layers: list[Any] = [keras.layers.Dense(12, "tanh", name="one")]
    if issubclass(kind, keras.Layer) and kind is not SAM:
        layers += [images, kind(**options)]
    model = keras.Sequential(
        [keras.Input((3,)), *layers, keras.layers.Flatten(), keras.layers.Dense(2, name="two")], name="net"
    )
    optimizer = kind(**options) if issubclass(kind, keras.Optimizer) else MomentumSGD(0.0625)
    if kind is SAM:
        model = SAM(model, **options)
    model.compile(optimizer, "mse")
    return model


def batches(count: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    stream = np.random.default_rng(seed)
    return [
        (stream.normal(size=(8, 3)).astype("float32"), stream.normal(size=(8, 2)).astype("float32"))
        for _ in range(count)
    ]


def state(model: Any) -> list[np.ndarray]:
    return [v.numpy().copy() for v in [*model.variables, *model.optimizer.variables]]


def plain(config: Any) -> Any:
    """Without what Keras notes of shapes when a thing is built."""
    if isinstance(config, dict):
        return {name: plain(value) for name, value in config.items() if name != "build_config"}
    return [plain(value) for value in config] if isinstance(config, list | tuple) else config


@pytest.mark.parametrize(("kind", "number"), CASES)
def test_the_next_five_updates_are_the_same_bits(kind: type, number: int, tmp_path: Path) -> None:
    """Saved after three batches, in the middle of an accumulation where there is one."""
    hlb.init()
    model = network(kind, variants()[kind][number])
    for x, y in batches(3, 0):
        model.train_on_batch(x, y)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert plain(again.get_config()) == plain(model.get_config())
    assert type(again.optimizer) is type(model.optimizer)
    assert plain(again.optimizer.get_config()) == plain(model.optimizer.get_config())
    before = state(model)
    for found, expected in zip(state(again), before, strict=True):
        np.testing.assert_array_equal(found, expected)
    for x, y in batches(5, 1):
        for one in (model, again):
            one.train_on_batch(x, y)
        for found, expected in zip(state(again), state(model), strict=True):
            np.testing.assert_array_equal(found, expected)
    moved = [not np.array_equal(a, b) for a, b in zip(before, state(model), strict=True)]
    assert sum(moved) > len(model.trainable_variables) / 2


@pytest.mark.parametrize("kind", OPTIONS, ids=lambda kind: kind.__name__)
def test_every_option_survives(kind: type) -> None:
    """By the constructor's signature: no option is missing here, and each differs from its default."""
    given, defaults = variants()[kind], signature(kind)
    assert set().union(*given) | {name for of, name in ELSEWHERE if of is kind} == set(defaults)
    for options in given:
        for name, value in options.items():
            assert value != defaults[name] or options is not given[0], f"{name} is as by default"
        if kind is SAM:
            options = {**options, "model": keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])}
        made = kind(**options)
        config = made.get_config()
        again = kind.from_config(copy.deepcopy(config))  # Keras takes pieces out of it
        assert plain(again.get_config()) == plain(config)
        for name, value in options.items():
            if (kind, name) not in ELSEWHERE:
                name = RENAMED.get((kind, name), name)
                assert name in config, f"{kind.__name__}.get_config has no {name}"
                told = keras.saving.serialize_keras_object(value)
                assert plain(keras.saving.serialize_keras_object(config[name])) == plain(told), name


def test_a_loaded_layerwise_still_excludes_from_decay(tmp_path: Path) -> None:
    """Keras' own exclusions are in no configuration; those of `LayerWise` are."""
    model = network(LayerWise, {"optimizer": keras.optimizers.AdamW(0.0625, weight_decay=0.5)})
    model.optimizer.exclude(from_decay=[model.layers[0].kernel])
    model.train_on_batch(*batches(1, 0)[0])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    inner = again.optimizer.inner_optimizer
    decays = [inner._use_weight_decay(variable) for variable in again.trainable_variables]
    assert decays == [False, True, True, True]
