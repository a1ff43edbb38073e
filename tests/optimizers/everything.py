"""Every optimizer and layer of the package, with what each of its options may be.

Classes are found where Keras finds them when it loads a model, options by the constructors' signatures, so
that neither can be forgotten: `test_every_option.py` and `test_every_saving.py` fail where one is not here.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import keras

from horovod_lb.distributed import DistributedOptimizer
from horovod_lb.distributed.loss_scale import FixedLossScale
from horovod_lb.layers import GhostBatchNormalization, SyncBatchNormalization
from horovod_lb.layers.base import GroupedBatchNormalization
from horovod_lb.models.shortcut import PaddedShortcut
from horovod_lb.noise import GradientNoise
from horovod_lb.optimizers import LAMB, LARS, LayerWise, MomentumSGD
from horovod_lb.optimizers.checked import CheckedOptimizer
from horovod_lb.sam import SAM

NAN, INF = float("nan"), float("inf")
NO_NUMBERS = [NAN, INF, -INF, "0.5", True, [0.5]]

# Kind of an option: values that it must refuse, and how the refusal names the range.
KINDS: dict[str, tuple[list[Any], str]] = {
    "not negative": ([*NO_NUMBERS, -1e-9, -1], "a number >= 0"),
    "positive": ([*NO_NUMBERS, 0, 0.0, -1], "a number > 0"),
    "below 1": ([*NO_NUMBERS, -0.1, 1.0, 2], r"in \[0, 1\)"),
    "up to 1": ([*NO_NUMBERS, -0.1, 1.1], r"in \[0, 1\]"),
    "whole >= 0": ([*NO_NUMBERS, -1, 1.5], "a whole number >= 0"),
    "whole >= 1": ([*NO_NUMBERS, 0, 1.5], "a whole number >= 1"),
    "whole >= 2": ([*NO_NUMBERS, 1, 2.5], "a whole number >= 2"),
    "whole": ([*NO_NUMBERS, 1.5], "a whole number"),
    "flag": (["yes", 1, 0.0, None], "True or False"),
    "word": (["nothing", 3, None, ["sum"]], "is one of"),
    "rate": ([*NO_NUMBERS, -0.1, None], "a number >= 0"),
    "variables": (["kernel", 5, None], "a list of variables"),
    "optimizer": ([5, "nothing"], "optimizer|nterpret"),
    "model": ([5, None, "lenet5"], "a Keras model"),
    "peers": ([5, "all"], "a method `sum`"),
    "keras": ([], ""),  # names, initializers, regularizers, constraints: checked by Keras where they are used
}

RATIO = {
    "min_ratio": "not negative",
    "max_ratio": "positive",
    "exclude_from_adaptation": "variables",
    "exclude_from_decay": "variables",
    "record_ratios": "flag",
}
COMMON = {
    "learning_rate": "rate",
    "weight_decay": "not negative",
    "clipnorm": "positive",
    "clipvalue": "positive",
    "global_clipnorm": "positive",
    "use_ema": "flag",
    "ema_momentum": "up to 1",
    "ema_overwrite_frequency": "whole >= 1",
    "loss_scale_factor": "positive",
    "gradient_accumulation_steps": "whole >= 2",
    "name": "keras",
}
MOMENTUM = {"momentum": "below 1", "nesterov": "flag", "correction": "flag"}
NORMALIZATION = {
    "unbiased": "flag",
    "axis": "whole",
    "momentum": "up to 1",
    "epsilon": "not negative",
    "center": "flag",
    "scale": "flag",
    **{
        f"{part}_{what}": "keras"
        for part in ("beta", "gamma")
        for what in ("initializer", "regularizer", "constraint")
    },
    "moving_mean_initializer": "keras",
    "moving_variance_initializer": "keras",
}
OPTIONS: dict[type, dict[str, str]] = {
    MomentumSGD: {**COMMON, **MOMENTUM},
    LARS: {
        **COMMON,
        **MOMENTUM,
        **RATIO,
        "coefficient": "positive",
        "norm": "word",
        "epsilon": "not negative",
    },
    LAMB: {
        **COMMON,
        **RATIO,
        "beta_1": "below 1",
        "beta_2": "below 1",
        "epsilon": "positive",
        "bias_correction": "flag",
        "min_norm": "not negative",
        "max_norm": "positive",
    },
    LayerWise: {
        **RATIO,
        "optimizer": "optimizer",
        "on": "word",
        "coefficient": "positive",
        "epsilon": "not negative",
        "name": "keras",
    },
    GradientNoise: {
        "optimizer": "optimizer",
        "stddev": "not negative",
        "decay": "not negative",
        "seed": "whole >= 0",
        "name": "keras",
    },
    DistributedOptimizer: {
        "optimizer": "optimizer",
        "bucket_bytes": "whole >= 1",
        "compression": "word",
        "sparse_as_dense": "flag",
        "name": "keras",
    },
    FixedLossScale: {"optimizer": "optimizer", "scale": "positive", "name": "keras"},
    GhostBatchNormalization: {**NORMALIZATION, "group_size": "whole >= 1"},
    SyncBatchNormalization: {**NORMALIZATION, "collective": "peers"},
    PaddedShortcut: {"filters": "whole >= 1", "stride": "whole >= 1"},
    SAM: {
        "model": "model",
        "rho": "not negative",
        "adaptive": "flag",
        "group": "word",
        "name": "keras",
    },
}
# Options that may be None.
OFF = {
    "weight_decay",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "ema_overwrite_frequency",
    "loss_scale_factor",
    "gradient_accumulation_steps",
    "max_ratio",
    "max_norm",
    "collective",
}
# What a constructor cannot do without.
NEEDED: dict[type, Callable[[], dict[str, Any]]] = {
    LayerWise: lambda: {"optimizer": "sgd"},
    GradientNoise: lambda: {"optimizer": "sgd", "stddev": 0.1},
    DistributedOptimizer: lambda: {"optimizer": "sgd"},
    FixedLossScale: lambda: {"optimizer": keras.optimizers.SGD(0.1), "scale": 8.0},
    GhostBatchNormalization: lambda: {"group_size": 2},
    PaddedShortcut: lambda: {"filters": 4, "stride": 2},
    SAM: lambda: {"model": keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])},
}


def registered() -> list[type]:
    """The optimizers and layers that the package makes known to Keras."""
    for module in ("optimizers", "layers", "sam", "noise", "distributed", "models", "training.build"):
        importlib.import_module(f"horovod_lb.{module}")
    found = [
        kind
        for name, kind in keras.saving.get_custom_objects().items()
        if name.startswith("horovod_lb>") and issubclass(kind, keras.Optimizer | keras.Layer)
    ]
    return sorted(found, key=lambda kind: kind.__name__)


def signature(kind: type) -> dict[str, Any]:
    """The options of a constructor, and those that it hands on to Keras; each with its default."""
    found: dict[str, Any] = {}
    below: list[Any] = [kind.__init__]
    if issubclass(kind, CheckedOptimizer):
        below += [base.__init__ for base in kind.__mro__ if base.__name__ == "BaseOptimizer"]
    if issubclass(kind, GroupedBatchNormalization):
        below += [GroupedBatchNormalization.__init__, keras.layers.BatchNormalization.__init__]
    for function in below:
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) and name != "self":
                found.setdefault(name, parameter.default)
    refused = ("renorm", "renorm_clipping", "renorm_momentum", "synchronized")
    return {name: default for name, default in found.items() if name not in refused}
