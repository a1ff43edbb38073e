"""Large-batch training studies with TensorFlow/Keras 3 over Horovod.

The names below are imported on first use, so that planning commands never pay for TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "init": "horovod_lb.distributed",
    "rank": "horovod_lb.distributed",
    "size": "horovod_lb.distributed",
    "DistributedOptimizer": "horovod_lb.distributed",
    "Synchronize": "horovod_lb.distributed",
    "broadcast_state": "horovod_lb.distributed",
    "shard": "horovod_lb.data.partition",
    "MomentumSGD": "horovod_lb.optimizers",
    "SAM": "horovod_lb.sam",
    "ActivationNoise": "horovod_lb.noise",
    "GradientNoise": "horovod_lb.noise",
    "WeightNoise": "horovod_lb.noise",
    "LARS": "horovod_lb.optimizers",
    "LAMB": "horovod_lb.optimizers",
    "LayerWise": "horovod_lb.optimizers",
    "GhostBatchNormalization": "horovod_lb.layers",
    "SyncBatchNormalization": "horovod_lb.layers",
    "Peers": "horovod_lb.distributed.peers",
    "LinearScaling": "horovod_lb.training.callbacks",
    "GradualWarmup": "horovod_lb.training.callbacks",
    "ConstantWarmup": "horovod_lb.training.callbacks",
    "StepDecay": "horovod_lb.training.callbacks",
    "RecipeSchedule": "horovod_lb.training.schedule",
    "job": "horovod_lb.training.job",
    "RunLogger": "horovod_lb.runs",
}
_ROOMS = (
    "data",
    "distributed",
    "layers",
    "measure",
    "models",
    "noise",
    "optimizers",
    "recipe",
    "runs",
    "study",
    "training",
)

__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS, *_ROOMS})
