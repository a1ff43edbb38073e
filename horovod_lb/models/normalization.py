"""Which batch normalization a network is built with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from horovod_lb.errors import RequestError
from horovod_lb.layers import Collective, GhostBatchNormalization, SyncBatchNormalization
from horovod_lb.recipe.normalization import KINDS

# Goyal et al. 2017, section 5.1; PyTorch's momentum of 0.1 is Keras' 0.9.
MOMENTUM, EPSILON = 0.9, 1e-5

Normalization = Callable[..., keras.layers.Layer]
"""(name=..., gamma_initializer=...) -> a layer."""


def normalization(
    batch_norm: str = "plain", group_size: int | None = None, collective: Collective | None = None
) -> Normalization:
    """The layers that stand for batch normalization in a network.

    Args:
        batch_norm: `plain`: over the examples at hand; `ghost`: over every `group_size` of them; `sync` and
            `group`: over those of all peers of `collective`, all ranks or a few.
        group_size: examples of a ghost group.
        collective: the peers; default: alone.

    Raises:
        RequestError: an unknown kind, an option that it lacks or does not have.
    """
    if batch_norm not in KINDS:
        raise RequestError(f"batch_norm: {batch_norm!r} is not one of {', '.join(KINDS)}")
    if (batch_norm == "ghost") != (group_size is not None):
        raise RequestError("group_size: needed by batch_norm ghost, and by no other")
    if collective is not None and batch_norm not in ("sync", "group"):
        raise RequestError(f"collective: for batch_norm sync and group, not {batch_norm}")
    common: dict[str, Any] = {"momentum": MOMENTUM, "epsilon": EPSILON}

    def make(**options: Any) -> keras.layers.Layer:
        if batch_norm == "plain":
            return keras.layers.BatchNormalization(**common, **options)
        if group_size is not None:
            return GhostBatchNormalization(group_size, **common, **options)
        return SyncBatchNormalization(collective, **common, **options)

    return make
