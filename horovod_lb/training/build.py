"""From a recipe's words to Keras objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from horovod_lb.distributed import DistributedOptimizer
from horovod_lb.distributed.buckets import DEFAULT_BUCKET_BYTES
from horovod_lb.distributed.optimizer import innermost
from horovod_lb.errors import RecipeError
from horovod_lb.noise import GradientNoise
from horovod_lb.optimizers import LAMB, LARS, LayerWise, MomentumSGD, variables_of
from horovod_lb.optimizers.adaptive import LayerAdaptive
from horovod_lb.recipe import Resolved
from horovod_lb.training.context import RunContext
from horovod_lb.training.precision import scaled
from horovod_lb.training.schedule import RecipeSchedule

_KINDS = {
    "momentum": MomentumSGD,
    "sgd": keras.optimizers.SGD,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
    "lars": LARS,
    "lamb": LAMB,
}
_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def policy(precision: str) -> str:
    """The Keras dtype policy of a recipe's `precision`."""
    return _POLICIES[precision]


def optimizer(run: RunContext, learning_rate: Any = None) -> keras.optimizers.Optimizer:
    """The optimizer of the recipe: schedule, decoupled decay, clipping, average, noise, fixed loss scale."""
    recipe = run.recipe
    options = {key: value for key, value in recipe["optimizer"].items() if value is not None}
    kind = options.pop("kind")
    around = options.pop("layerwise", None)
    options.pop("exclude", None)  # needs the model: see `exclude`
    if kind not in _KINDS:
        raise RecipeError(f"recipe.optimizer.kind: {kind!r} is not one of {', '.join(_KINDS)}")
    if learning_rate is None:
        learning_rate = RecipeSchedule(recipe, run.info.train_examples, run.world.size)
    if recipe["clip_global_norm"] is not None:
        options["global_clipnorm"] = recipe["clip_global_norm"]
    if average := recipe.get("ema"):
        options["use_ema"] = True
        options["ema_momentum"] = average["decay"]
        options["ema_overwrite_frequency"] = average["overwrite_every"]
    decay = recipe["weight_decay"]
    if decay["value"] and (decay["kind"] == "decoupled" or kind == "lars"):
        options["weight_decay"] = decay["value"]
    elif kind == "adamw":
        options["weight_decay"] = 0.0  # Keras' default is another
    built = _KINDS[kind](learning_rate=learning_rate, **options)
    if around is not None:
        built = LayerWise(built, min_ratio=around["min"], max_ratio=around["max"], on=around["on"])
    noise = recipe.get("noise")
    if noise and noise["gradients"]:
        built = GradientNoise(built, noise["gradients"], noise["gradients_decay"], run.seed)
    return scaled(recipe, built)


def penalty(recipe: Mapping[str, Any], optimizer: keras.optimizers.Optimizer) -> float:
    """λ of the L2 penalty in the loss; 0 where LARS has the decay inside its trust ratio."""
    decay = recipe["weight_decay"]
    if decay["kind"] != "l2" or isinstance(innermost(optimizer), LARS):
        return 0.0
    return float(decay["value"])


def exclude(recipe: Mapping[str, Any], optimizer: keras.optimizers.Optimizer, model: keras.Model) -> None:
    """Tell the optimizer, which is not built yet, the variables without decay and without a trust ratio."""
    options, decay = recipe["optimizer"], recipe["weight_decay"]
    words = options.get("exclude") or (options.get("layerwise") or {}).get("exclude") or []
    for part in _layers(optimizer):
        if isinstance(part, LayerAdaptive | LayerWise):
            part.exclude(from_adaptation=variables_of(model, words))
    if decay["value"] and decay["exclude"]:
        innermost(optimizer).exclude_from_weight_decay(variables_of(model, decay["exclude"]))


def require_heeded(recipe: Mapping[str, Any], optimizer: keras.optimizers.Optimizer) -> None:
    """RecipeError: words of the recipe that `optimizer`, the job's own, does not carry out."""
    parts = list(_layers(optimizer))

    def some(option: str) -> bool:
        return any(getattr(part, option, None) for part in parts)

    decay, noise = recipe["weight_decay"], recipe.get("noise") or {}
    asked = {
        "clip_global_norm": (recipe["clip_global_norm"], some("global_clipnorm")),
        "ema": (recipe.get("ema"), some("use_ema")),
        "weight_decay": (decay["value"] and decay["kind"] == "decoupled", some("weight_decay")),
        "noise.gradients": (noise.get("gradients"), any(isinstance(one, GradientNoise) for one in parts)),
    }
    for key, (wanted, heeded) in asked.items():
        if wanted and not heeded:
            raise RecipeError(
                f"recipe.{key}: run.fit was given an optimizer that does not do that; take run.optimizer(), "
                "give it that option, or leave the word out of the study",
                key=f"recipe.{key}",
            )


def _layers(optimizer: keras.optimizers.Optimizer) -> Iterator[keras.optimizers.Optimizer]:
    """The optimizer and what it wraps, outermost first."""
    yield optimizer
    if inner := getattr(optimizer, "inner_optimizer", None):
        yield from _layers(inner)


def distributed(run: RunContext, inner: keras.optimizers.Optimizer) -> DistributedOptimizer:
    """`inner` wrapped for the ranks of `run`, unless it is wrapped already.

    RecipeError: it accumulates micro-batches, whose sums are each rank's own and in no checkpoint.
    """
    communication = run.recipe.get("communication") or {}
    megabytes = communication.get("bucket_mb")
    optimizer = inner
    if not isinstance(optimizer, DistributedOptimizer):
        optimizer = DistributedOptimizer(
            inner,
            bucket_bytes=int(megabytes * 2**20) if megabytes else DEFAULT_BUCKET_BYTES,
            compression=communication.get("compression") or "none",
        )
    if optimizer.micro_batches > 1:
        raise RecipeError(
            f"run.fit: the optimizer joins {optimizer.micro_batches} steps (gradient_accumulation_steps), "
            "and a run that is stopped between them could not go on; leave that out: a rank's groups "
            "(recipe.groups) are accumulated within a step"
        )
    return optimizer


def decayed_variables(model: keras.Model, exclude: list[str]) -> list[Any]:
    """The trainable variables under weight decay: all but those of the kinds in `exclude`."""
    skipped = {id(variable) for variable in variables_of(model, exclude)}
    return [variable for variable in model.trainable_variables if id(variable) not in skipped]


def rate_of_last_update(optimizer: Any, resolved: Resolved) -> float:
    """η of the optimizer's last update. A schedule goes by the updates: a step that was skipped is none.

    `resolved`: has the rates of a `RecipeSchedule` in float64.
    """
    last = max(int(optimizer.iterations) - 1, 0)
    schedule = innermost(optimizer)._learning_rate
    if isinstance(schedule, RecipeSchedule):
        return resolved.rate(last)
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return float(schedule(last))
    return float(optimizer.learning_rate)
