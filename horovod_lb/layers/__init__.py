"""Batch normalization over groups of the recipe: smaller than a rank's batch, or spanning ranks."""

from __future__ import annotations

from horovod_lb.layers.collective import Alone, Collective
from horovod_lb.layers.ghost import GhostBatchNormalization
from horovod_lb.layers.sync import SyncBatchNormalization

__all__ = ["Alone", "Collective", "GhostBatchNormalization", "SyncBatchNormalization"]
