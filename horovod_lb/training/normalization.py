"""Batch normalization over several groups in a run: who shares moments, and whether the model agrees."""

from __future__ import annotations

from typing import Any

from horovod_lb.distributed.broadcast import is_random_state
from horovod_lb.errors import RecipeError
from horovod_lb.layers import GhostBatchNormalization, SyncBatchNormalization
from horovod_lb.training.context import RunContext


def check_layers(run: RunContext, model: Any) -> None:
    """RecipeError: layers that are not those of the study, or random ones beside synchronized ones."""
    kind = run.spec["model"].get("batch_norm", "plain")
    joined = kind in ("sync", "group")
    every = list(model._flatten_layers())
    if kind == "ghost" and not any(isinstance(layer, GhostBatchNormalization) for layer in every):
        raise _refused(
            "ghost, and the model has no ghost layer; build it with run.model(), or with "
            'hlb.GhostBatchNormalization(run.spec["model"]["ghost_size"])'
        )
    layers = [layer for layer in every if isinstance(layer, SyncBatchNormalization)]
    if joined and not layers:
        raise _refused(f"{kind}, and the model has no synchronized layer; {_REMEDY}")
    ours = run.peers
    if any(layer.collective is not ours if ours else layer.collective.span > 1 for layer in layers):
        raise _refused(f"{kind}, and the model has synchronized layers of other peers; {_REMEDY}")
    if joined and any(map(is_random_state, model.non_trainable_variables)):
        raise _refused(
            f"{kind} joins groups, and the masks of the model's random layers (dropout, noise) are those of "
            "each group; leave these layers out, or take plain or ghost"
        )


_REMEDY = (
    "build it with run.model(), or with hlb.SyncBatchNormalization(run.collective()) where the study says "
    "sync or group"
)


def _refused(message: str) -> RecipeError:
    return RecipeError(f"model.batch_norm: {message}", key="model.batch_norm")
