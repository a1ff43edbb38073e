"""From a recipe's words to Keras objects."""

from __future__ import annotations

from typing import Any

import keras

from horovod_lb.distributed import DistributedOptimizer
from horovod_lb.distributed.buckets import DEFAULT_BUCKET_BYTES
from horovod_lb.errors import RecipeError
from horovod_lb.optimizers import MomentumSGD
from horovod_lb.training.context import RunContext
from horovod_lb.training.schedule import RecipeSchedule

_KINDS = {
    "momentum": MomentumSGD,
    "sgd": keras.optimizers.SGD,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
}
_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def policy(precision: str) -> str:
    """The Keras dtype policy of a recipe's `precision`."""
    return _POLICIES[precision]


def optimizer(run: RunContext, learning_rate: Any = None) -> keras.optimizers.Optimizer:
    """The optimizer of the recipe, with its schedule, decoupled weight decay and clipping."""
    recipe = run.recipe
    options = {key: value for key, value in recipe["optimizer"].items() if value is not None}
    kind = options.pop("kind")
    if kind not in _KINDS:
        raise RecipeError(f"recipe.optimizer.kind: {kind!r} is not one of {', '.join(_KINDS)}")
    if learning_rate is None:
        learning_rate = RecipeSchedule(recipe, run.info.train_examples, run.world.size)
    if recipe["clip_global_norm"] is not None:
        options["global_clipnorm"] = recipe["clip_global_norm"]
    decay = recipe["weight_decay"]
    if decay["kind"] == "decoupled" and decay["value"]:
        options["weight_decay"] = decay["value"]
    elif kind == "adamw":
        options["weight_decay"] = 0.0  # Keras' default is another
    return _KINDS[kind](learning_rate=learning_rate, **options)


def distributed(run: RunContext, inner: keras.optimizers.Optimizer) -> DistributedOptimizer:
    """`inner` wrapped for the ranks of `run`, unless it is wrapped already."""
    if isinstance(inner, DistributedOptimizer):
        return inner
    communication = run.recipe.get("communication") or {}
    megabytes = communication.get("bucket_mb")
    return DistributedOptimizer(
        inner,
        bucket_bytes=int(megabytes * 2**20) if megabytes else DEFAULT_BUCKET_BYTES,
        compression=communication.get("compression") or "none",
    )


def decayed_variables(model: keras.Model, exclude: list[str]) -> list[Any]:
    """The trainable variables under weight decay.

    `exclude` names kinds: `bias` (variables called bias) and `normalization` (all variables of normalization
    layers). Layers decide, not parts of names, so a layer called "bias_net" keeps its decay.
    """
    skipped: set[int] = set()
    for layer in model._flatten_layers(include_self=False, recursive=True):
        for variable in layer.trainable_variables:
            is_bias = "bias" in exclude and variable is getattr(layer, "bias", None)
            if is_bias or ("normalization" in exclude and "Normalization" in type(layer).__name__):
                skipped.add(id(variable))
    return [variable for variable in model.trainable_variables if id(variable) not in skipped]
