"""The loss scale of half precision, and what it did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from horovod_lb.distributed import DistributedOptimizer
from horovod_lb.distributed.loss_scale import FixedLossScale


def scaled(recipe: Mapping[str, Any], optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """`optimizer` with the recipe's fixed loss scale; `DistributedOptimizer` brings the dynamic one."""
    scale = recipe.get("loss_scale", "dynamic")
    if recipe["precision"] != "float16" or scale == "dynamic":
        return optimizer
    return FixedLossScale(optimizer, scale)


def columns(optimizer: DistributedOptimizer, steps: int) -> dict[str, Any]:
    """`loss_scale` after `steps` global steps, and how many of them were skipped; nothing without a scale."""
    if not optimizer.scales_loss:
        return {}
    return {
        "loss_scale": float(optimizer.scale_loss(1.0)),
        "skipped_steps": steps // optimizer.micro_batches - int(optimizer.iterations),
    }
