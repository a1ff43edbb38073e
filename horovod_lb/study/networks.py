"""What the study says about the networks of `horovod_lb.models`, without building one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from horovod_lb.errors import RecipeError


@dataclass(frozen=True)
class Network:
    """A network by name.

    Attributes:
        shape: of an example, where the data set does not say another.
        batch_norm: whether it has batch normalization, so that `batch_norm` and its words mean something.
        zero_gamma: whether the last scale of every residual branch begins at 0 where nothing else is said;
            None: it has no residual branches.
        dropout: its rate where nothing else is said; None: it has no dropout.
    """

    shape: tuple[int, ...]
    batch_norm: bool = False
    zero_gamma: bool | None = None
    dropout: float | None = None


_MNIST, _CIFAR = (28, 28, 1), (32, 32, 3)
NETWORKS = {
    "digits_cnn": Network((8, 8, 1)),
    "lenet5": Network(_MNIST),
    "lenet_large": Network(_MNIST, dropout=0.4),
    "cnn2": Network(_MNIST, dropout=0.5),
    "resnet20": Network(_CIFAR, batch_norm=True, zero_gamma=False),
    "resnet32": Network(_CIFAR, batch_norm=True, zero_gamma=False),
    "resnet56": Network(_CIFAR, batch_norm=True, zero_gamma=False),
    "cifar_resnet18": Network(_CIFAR, batch_norm=True, zero_gamma=False),
    "cifar_resnet50": Network(_CIFAR, batch_norm=True, zero_gamma=False),
    "resnet50": Network((224, 224, 3), batch_norm=True, zero_gamma=True),
}
"""By `model.name`; another name is the job script's own."""


def check_words(model: Mapping[str, Any]) -> None:
    """RecipeError: a word of `model` that a network of this project does not have, and would not heed."""
    network = NETWORKS.get(model["name"])
    if network is None:
        return
    has = {
        "batch_norm": (network.batch_norm, "batch normalization"),
        "ghost_size": (network.batch_norm, "batch normalization"),
        "bn_groups": (network.batch_norm, "batch normalization"),
        "zero_gamma": (network.zero_gamma is not None, "residual branches"),
        "dropout": (network.dropout is not None, "dropout"),
    }
    for key, (there, what) in has.items():
        if not there and model.get(key) not in (None, "plain"):
            raise RecipeError(f"model.{key}: {model['name']} has no {what}; leave it out", key=f"model.{key}")
