"""The Keras 3 layer over Horovod's tensor collectives.

Horovod's own Keras layer hooks methods that Keras 3 never calls: under it the ranks train apart without an
error. Here only Horovod's tensor operations are used, from inside the optimizer's `apply`.
"""

from horovod_lb.distributed.broadcast import broadcast_state
from horovod_lb.distributed.check import check_identical
from horovod_lb.distributed.metrics import reduce_metrics
from horovod_lb.distributed.optimizer import DistributedOptimizer
from horovod_lb.distributed.reducer import GradientReducer
from horovod_lb.distributed.runtime import World, init, rank, size, world
from horovod_lb.distributed.synchronize import Synchronize

__all__ = [
    "DistributedOptimizer",
    "GradientReducer",
    "Synchronize",
    "World",
    "broadcast_state",
    "check_identical",
    "init",
    "rank",
    "reduce_metrics",
    "size",
    "world",
]
