"""What produced a result: versions, machine, ranks, code; written beside each life's log."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import horovod
import horovod.tensorflow as hvd
import keras
import numpy as np
import tensorflow as tf

import horovod_lb
from horovod_lb.distributed import World
from horovod_lb.runs import Life
from horovod_lb.runs.provenance import batch_job, environment, source_diff, source_state

_HOST_NAME = 64  # bytes; HOST_NAME_MAX of Linux


def record_provenance(spec: Mapping[str, Any], here: World, life: Life) -> None:
    """Writes `provenance.json`, the batch job's script (`job.sh`) and what was changed since the commit
    (`source.diff`) to the life's folder; collective.
    """
    hosts = _hosts()
    if here.rank:
        return
    life.provenance({**provenance(spec, here), "nodes": len(hosts), "hosts": hosts})
    script = os.environ.get("HLB_JOB_SCRIPT")
    if script:
        with suppress(OSError):
            life.attach("job.sh", Path(script).read_bytes())
    diff = source_diff()
    if diff:
        life.attach("source.diff", diff)


def provenance(spec: Mapping[str, Any], here: World) -> dict[str, Any]:
    """What produced a result: versions, machine, ranks, all-reduce, code."""
    return {
        "time": time.time(),
        # As it was typed; a rank of a session was started by another command.
        "command": os.environ.get("HLB_COMMAND") or shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "host": platform.node(),
        "python": platform.python_version(),
        "versions": {
            "horovod_lb": horovod_lb.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "horovod": horovod.__version__,
            "numpy": np.__version__,
        },
        "mpi": _mpi_version(),
        "ranks": here.size,
        "ranks_on_host": here.local_size,
        "dealing": _dealing(spec, here.size),
        "threads": here.threads,
        "gpu": [device.name for device in tf.config.get_visible_devices("GPU")],
        "allreduce": {
            "asked": here.allreduce,
            "in_force": here.allreduce_in_force,
            "nccl": bool(hvd.nccl_built()),
        },
        "job": {"name": Path(spec["job"]["path"]).name, "sha256": spec["job"].get("sha256")},
        "source": source_state(),
        "batch": batch_job(),
        "environment": environment(),
        **({"machine": os.environ["HLB_MACHINE"]} if os.environ.get("HLB_MACHINE") else {}),
    }


def _dealing(spec: Mapping[str, Any], ranks: int) -> dict[str, int]:
    """Which part of a global batch a rank works through in this life."""
    size = int(spec["recipe"]["batch_size"])
    groups = int(spec["recipe"].get("groups") or spec["resources"]["workers"])
    return {
        "batch_size": size,
        "groups": groups,
        "batch_per_group": size // groups,
        "ranks": ranks,
        "groups_a_rank": groups // ranks,
    }


def _mpi_version() -> str | None:
    if not hvd.mpi_built():
        return None
    from mpi4py import MPI

    return MPI.Get_library_version().strip("\0\n ").splitlines()[0]


def _hosts() -> list[str]:
    """The names of the hosts that the ranks are on, in the order of the ranks; collective."""
    name = np.zeros((1, _HOST_NAME), np.uint8)
    own = np.frombuffer(platform.node().encode()[:_HOST_NAME], np.uint8)
    name[0, : len(own)] = own
    names = hvd.allgather(name, name="hlb.hosts").numpy() if hvd.size() > 1 else name
    return list(dict.fromkeys(bytes(row).rstrip(b"\0").decode(errors="replace") for row in names))
