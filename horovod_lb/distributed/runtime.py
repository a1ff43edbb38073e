"""Start Horovod in this process: rank, GPU, CPU threads and the all-reduce algorithm."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass

import horovod.tensorflow as hvd
import tensorflow as tf

from horovod_lb.distributed.algorithm import algorithm_in_force
from horovod_lb.errors import DistributedError
from horovod_lb.recipe.communication import environment

GPU_POLICIES = ("all", "one")


@dataclass(frozen=True)
class World:
    """What this process is among the ranks.

    `threads` is the size of TensorFlow's intra-op pool, `gpu` the index of the visible GPU in use (None on
    CPUs), `allreduce` the algorithm asked for and `allreduce_in_force` what the MPI library itself reports
    (None where it does not tell).
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    threads: int
    gpu: int | None
    allreduce: str
    allreduce_in_force: str | None


_world: World | None = None


def init(*, gpus: str | None = None, threads: int | None = None, allreduce: str | None = None) -> World:
    """Start Horovod, take this rank's GPU and share of the cores; call it before any TensorFlow work.

    Args:
        gpus: `all` where every GPU of the host is visible to every rank (the rank takes the one with its
            local index), `one` where the launcher shows each rank its own GPU only (index 0); default: what
            the batch job set in `$HLB_GPUS`, else `all`.
        threads: intra-op threads of this rank; default: the cores this host lends, divided by its ranks.
            Ranks with a full thread pool each are the usual reason for slow CPU runs.
        allreduce: `ring`, `recursive_doubling`, `rabenseifner`, `hierarchical` or `mpi_default`; default:
            what the launcher set in `$HLB_ALLREDUCE`, else `ring`.

    Raises:
        DistributedError: unknown policy, more ranks on this host than GPUs, or too late to choose a GPU.
    """
    global _world
    if _world is not None:
        return _world
    gpus = gpus or os.environ.get("HLB_GPUS", "all")
    if gpus not in GPU_POLICIES:
        raise DistributedError(f"GPU policy {gpus!r} is not known; it is one of {', '.join(GPU_POLICIES)}")
    name = allreduce or os.environ.get("HLB_ALLREDUCE", "ring")
    for key, value in environment(name).items():
        os.environ.setdefault(key, value)
    # A group fused with whatever else is ready changes the order of additions from run to run.
    os.environ.setdefault("HOROVOD_DISABLE_GROUP_FUSION", "1")
    if not tf.config.list_physical_devices("GPU"):
        # Waiting ranks give their core to the threads that compute.
        os.environ.setdefault("OMPI_MCA_mpi_yield_when_idle", "1")
    hvd.init()
    local_rank, local_size = hvd.local_rank(), hvd.local_size()
    gpu = _take_gpu(gpus, local_rank, local_size)
    threads = _take_threads(threads or threads_per_rank(local_size))
    in_force = algorithm_in_force() if hvd.mpi_built() and hvd.mpi_enabled() else None
    _world = World(hvd.rank(), hvd.size(), local_rank, local_size, threads, gpu, name, in_force)
    return _world


def _take_threads(threads: int) -> int:
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(max(1, min(2, threads)))
    except RuntimeError:
        threads = tf.config.threading.get_intra_op_parallelism_threads()
        warnings.warn(
            "TensorFlow was at work before hlb.init(), so this rank keeps the threads it has "
            f"({threads or 'one for every core'}): call hlb.init() first",
            stacklevel=3,
        )
    return threads


def threads_per_rank(local_size: int) -> int:
    """`$TF_NUM_INTRAOP_THREADS` where the launcher set it, else the cores of this host over its ranks."""
    stated = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    if stated.isdigit() and int(stated) > 0:
        return int(stated)
    return max(1, len(os.sched_getaffinity(0)) // local_size)


def gpu_index(policy: str, local_rank: int, local_size: int, visible: int) -> int | None:
    """Index of the GPU for a rank, None on a host without GPUs; DistributedError when there are too few."""
    if visible == 0:
        return None
    if policy == "one":
        return 0
    if local_size > visible:
        raise DistributedError(
            f"{local_size} ranks on this host but only {visible} visible GPU{'s' if visible > 1 else ''}: "
            f"start at most {visible} a host, or use the policy 'one' if the launcher gives each rank its own"
        )
    return local_rank


def _take_gpu(policy: str, local_rank: int, local_size: int) -> int | None:
    devices = tf.config.list_physical_devices("GPU")
    index = gpu_index(policy, local_rank, local_size, len(devices))
    if index is not None:
        try:
            tf.config.set_visible_devices(devices[index], "GPU")
            tf.config.experimental.set_memory_growth(devices[index], True)
        except RuntimeError as error:
            raise DistributedError(
                "TensorFlow was at work before hlb.init(), so this rank's GPU can no longer be chosen: call "
                "hlb.init() first"
            ) from error
    return index


def world() -> World:
    """The World of this process; starts Horovod with its defaults if `init` was not called."""
    return _world or init()


def rank() -> int:
    """This process' rank, 0 to size() - 1."""
    return world().rank


def size() -> int:
    """The number of ranks."""
    return world().size
