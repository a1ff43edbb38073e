"""What each rank of `hlb preflight` runs: `python -m horovod_lb.training.preflight --folder NAME=PATH ...`.

It tells what it knows stage by stage, a marked line each, so that a rank that hangs or dies is known by the
last stage it came through; nothing of TensorFlow is imported before the first line is out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from horovod_lb.machines.host import facts
from horovod_lb.machines.rank import MARK, launched_as

MEGABYTES = (1, 64)
_REPEATS = 3
_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "HLB_GPUS",
    "OMP_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)


def start(folders: Mapping[str, str]) -> dict[str, Any]:
    """Host, cores and what the launcher set; folders are looked at by one rank a host."""
    local = launched_as(os.environ).local_rank
    return {
        **facts(folders if not local else {}),
        "cores": sorted(os.sched_getaffinity(0)),
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "python": sys.version.split()[0],
    }


def versions() -> dict[str, Any]:
    """The packages of this rank, and how many GPUs TensorFlow sees."""
    from horovod_lb.wheel import probe
    from horovod_lb.wheel.ranks import libmpi_files

    report = {name: part() for name, part in probe.PARTS.items()}
    tf = importlib.import_module("tensorflow")
    return {
        "TensorFlow": report["tensorflow"]["version"],
        "Keras": report["tensorflow"]["keras"],
        "Horovod": report["horovod"]["version"],
        "MPI": report["mpi4py"]["library"],
        "built": [name for name in ("mpi", "gloo", "nccl") if report["horovod"][name]],
        "libmpi": libmpi_files(),
        "gpus": len(tf.config.list_physical_devices("GPU")),
    }


def world() -> dict[str, Any]:
    """This rank among the others; the first stage that waits for them."""
    from horovod_lb import distributed
    from horovod_lb.distributed.device import nccl_version, physical_gpu

    me = distributed.init(gpus=os.environ.get("HLB_GPUS", "all"))
    return {
        "rank": me.rank,
        "size": me.size,
        "local_rank": me.local_rank,
        "local_size": me.local_size,
        "threads": me.threads,
        "gpu": me.gpu,
        "physical_gpu": None if me.gpu is None else physical_gpu(me.gpu),
        "NCCL": nccl_version(),
        "allreduce": me.allreduce,
        "allreduce_in_force": me.allreduce_in_force,
    }


def allreduce() -> dict[str, Any]:
    """Collectives against closed forms; seconds of an all-reduce by its MB; the clock as all have met."""
    from horovod_lb.wheel.ranks import check_collectives

    tf = importlib.import_module("tensorflow")
    hvd = importlib.import_module("horovod.tensorflow")
    wrong = check_collectives(tf, hvd)
    if wrong:
        return {"wrong": wrong, "seconds": {}, "clock": time.time()}
    seconds = {str(megabytes): _seconds(tf, hvd, megabytes) for megabytes in MEGABYTES}
    hvd.allreduce(tf.zeros(1), op=hvd.Sum, name="preflight.meet")
    return {"wrong": None, "seconds": seconds, "clock": time.time()}


def _seconds(tf: Any, hvd: Any, megabytes: int) -> float:
    """The shortest of a few all-reduces of float32, after one that does not count."""
    mine = tf.fill([megabytes * 250_000], float(hvd.rank() + 1))
    total = hvd.size() * (hvd.size() + 1) / 2
    best = float("inf")
    for repeat in range(_REPEATS + 1):
        begin = time.perf_counter()
        reduced = hvd.allreduce(mine, op=hvd.Sum, name=f"preflight.{megabytes}")
        last = float(reduced[-1])  # waits for a GPU
        if last != total:
            raise ArithmeticError(f"the sum of 1 to {hvd.size()} over the ranks is {last}, not {total}")
        if repeat:
            best = min(best, time.perf_counter() - begin)
    return best


def tell(stage: str, found: Mapping[str, Any]) -> None:
    """Writes one marked line, in one piece: ranks share the launcher's output."""
    me = launched_as(os.environ)
    line = {
        "stage": stage,
        "host": os.uname().nodename,
        "pid": os.getpid(),
        "launched": [me.rank, me.local_rank],
    }
    os.write(1, f"\n{MARK}{json.dumps({**line, **found}, separators=(',', ':'))}\n".encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1 after a stage that failed: its line has `error`."""
    parser = argparse.ArgumentParser(prog="python -m horovod_lb.training.preflight", description=__doc__)
    parser.add_argument("--folder", action="append", default=[], metavar="NAME=PATH", help="look at it")
    options = parser.parse_args(arguments)
    folders = dict(pair.split("=", 1) for pair in options.folder)
    stages: dict[str, Callable[[], dict[str, Any]]] = {
        "start": lambda: start(folders),
        "versions": versions,
        "world": world,
        "allreduce": allreduce,
    }
    for name, stage in stages.items():
        try:
            tell(name, stage())
        except Exception as error:
            text = str(error).strip().splitlines()
            tell(name, {"error": f"{type(error).__name__}: {text[0] if text else ''}"[:800]})
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
