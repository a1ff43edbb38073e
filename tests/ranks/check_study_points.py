"""The same study point on any number of ranks; each leaves its final weights for comparison."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from points import Alone, AloneByGroups, AloneByRatio, distance, mlp, normalized, spec, train
from rank_checks import Here, ranks

from horovod_lb import models

# N = 1407 in batches of 156 leaves 3 examples: on 4 ranks one has none; N = 1405 leaves a single one.
WEIGHTED = {"remainder": "weighted", "batch_size": 156}
PENALTIES = {"weight_decay": {"value": 0.01, "kind": "l2", "exclude": ["bias"]}, "clip_global_norm": 0.7}
DECOUPLED = {"value": 0.02, "kind": "decoupled", "exclude": ["bias"]}
LAYERWISE = {"kind": "momentum", "momentum": 0.5, "layerwise": {"max": 2.0, "exclude": ["vectors"]}}
NESTEROV = {"kind": "momentum", "momentum": 0.9, "nesterov": True}


def _keep(here: Here, name: str, values: list[np.ndarray]) -> None:
    here.identical(*values)
    if here.rank == 0:
        np.savez(here.out / f"{name}.npz", *values)


def _train(here: Here, point: dict[str, Any], build: Any) -> list[np.ndarray]:
    state, directory, values = train(here, point, build)
    assert state == "completed", directory.read_exit()
    _keep(here, point["run_id"], values)
    return values


def _agrees_with(here: Here, alone: type[Alone], point: dict[str, Any], build: Any) -> None:
    values = _train(here, point, build)
    if here.size == 1:
        expected = alone(point, build).train()
        moved = distance(expected, [np.array(v) for v in alone(point, build).model.variables])
        assert moved > 0.05, f"nothing was trained: {moved}"
        assert distance(values, expected) < 1e-5, distance(values, expected)


@ranks(1, 2, 3, 4)
def check_plain(here: Here) -> None:
    _agrees_with(here, Alone, spec("plain"), functools.partial(models.build, "digits_cnn"))


@ranks(1)
def check_without_accumulation(here: Here) -> None:
    _train(here, spec("plain-one-group", groups=1), functools.partial(models.build, "digits_cnn"))


@ranks(1, 2, 3, 4)
def check_weighted_with_penalties(here: Here) -> None:
    point = spec("weighted", holdout=33, label_smoothing=0.1, **WEIGHTED, **PENALTIES)
    _agrees_with(here, Alone, point, mlp)


@ranks(1, 2, 3, 4)
def check_wrap_with_decoupled_decay(here: Here) -> None:
    point = spec(
        "wrap", holdout=33, remainder="wrap", batch_size=156, weight_decay=DECOUPLED, optimizer=NESTEROV
    )
    _agrees_with(here, Alone, point, mlp)


@ranks(1, 2, 3, 4)
def check_drop_with_dropout(here: Here) -> None:
    point = spec("dropout", holdout=33, remainder="drop", batch_size=156)
    values = _train(here, point, functools.partial(mlp, 0.3))
    if here.size == 1:
        expected = Alone(point, mlp).train()
        assert distance(values, expected) > 1e-2, "dropout did nothing"


@ranks(1, 2, 3, 4)
def check_batch_norm(here: Here) -> None:
    _agrees_with(here, AloneByGroups, spec("batch-norm", batch_size=240), normalized)


@ranks(1, 2, 3, 4)
def check_batch_norm_with_a_last_step_of_one_example(here: Here) -> None:
    _agrees_with(here, AloneByGroups, spec("batch-norm-weighted", holdout=35, **WEIGHTED), normalized)


def _with_embedding() -> Any:
    """A table whose gradients are slices, a layer with a frozen kernel, and one that no loss depends on."""
    import keras

    image = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(image)
    rows = keras.layers.Lambda(lambda x: keras.ops.cast(keras.ops.round(x[:, 20:28] * 4), "int32"))(flat)
    looked_up = keras.layers.Flatten()(keras.layers.Embedding(6, 4, name="table")(rows))
    frozen = keras.layers.Dense(12, activation="relu", trainable=False, name="frozen")(flat)
    logits = keras.layers.Dense(10)(keras.layers.Concatenate()([looked_up, frozen]))
    unused = keras.layers.Dense(3, name="unused")(frozen)
    return keras.Model(image, logits + 0 * keras.ops.stop_gradient(keras.ops.sum(unused)))


@ranks(1, 2, 3, 4)
def check_embedding_and_frozen_weights(here: Here) -> None:
    """Ranks with one group, several and none agree on what is sparse, dense, absent; frozen stays frozen."""
    import keras

    adam = {"kind": "adam", "epsilon": 1e-3}
    reference = {"learning_rate": 0.004, "batch_size": 156}
    point = spec("embedding", holdout=33, optimizer=adam, **{**WEIGHTED, "reference": reference})
    keras.utils.set_random_seed(point["seed"])
    start = _with_embedding().get_layer("frozen").kernel.numpy()
    models_seen: list[Any] = []

    def build() -> Any:
        models_seen.append(_with_embedding())
        return models_seen[-1]

    _train(here, point, build)
    np.testing.assert_array_equal(models_seen[0].get_layer("frozen").kernel.numpy(), start)


@ranks(1, 2, 3)
def check_trust_ratios(here: Here) -> None:
    """LARS and bounded layer-wise SGD as a study says them, decay and exclusions with them."""
    lars = {"kind": "lars", "nesterov": True, "exclude": ["bias"]}
    reference = {"learning_rate": 0.02, "batch_size": 60}
    for name, point in {
        "lars": spec("lars", optimizer=lars, reference=reference, **PENALTIES),
        "layerwise": spec("layerwise", optimizer=LAYERWISE, weight_decay=DECOUPLED, reference=reference),
    }.items():
        values = _train(here, point, mlp)
        if here.size == 1:
            expected = AloneByRatio(point, mlp).train()
            assert distance(values, expected) < 1e-5, (name, distance(values, expected))
