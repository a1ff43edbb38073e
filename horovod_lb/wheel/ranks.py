"""What each rank of the self-test runs, under mpirun: `ranks.py FOLDER` writes FOLDER/rank-R.json.

Every expected value is a closed form in small integers, exact in float16 too.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any


def libmpi_files() -> list[str]:
    """The files of every libmpi that is mapped into this process."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    paths = {line.split(maxsplit=5)[5].strip() for line in maps.splitlines() if "/libmpi.so" in line}
    return sorted(paths)


def check_collectives(tf: Any, hvd: Any) -> str | None:
    """The first collective that is wrong, or None. Collective: every rank calls it."""
    rank, size = hvd.rank(), hvd.size()
    ranks_total = size * (size - 1) // 2  # 0 + 1 + ... + (size - 1)
    for dtype in (tf.float32, tf.float16):
        steps = tf.cast(tf.range(5), dtype)
        mine = steps + tf.cast(rank, dtype)
        total = size * steps + ranks_total
        mean = total / size
        cases = [
            ("sum", hvd.allreduce(mine, op=hvd.Sum, name=f"sum.{dtype.name}"), total),
            ("average", hvd.allreduce(mine, op=hvd.Average, name=f"average.{dtype.name}"), mean),
            (
                "broadcast",
                hvd.broadcast(mine, root_rank=size - 1, name=f"broadcast.{dtype.name}"),
                steps + tf.cast(size - 1, dtype),
            ),
        ]
        matrix = tf.reshape(tf.cast(tf.range(6), dtype), (2, 3)) * tf.cast(rank + 1, dtype)
        grouped = hvd.grouped_allreduce([mine, matrix], op=hvd.Sum, name=f"grouped.{dtype.name}")
        whole = tf.reshape(tf.cast(tf.range(6), dtype), (2, 3)) * (ranks_total + size)
        cases += [("grouped sum, vector", grouped[0], total), ("grouped sum, matrix", grouped[1], whole)]
        for name, found, expected in cases:
            if found.dtype != dtype or found.numpy().tolist() != expected.numpy().tolist():
                return (
                    f"{name} of {dtype.name} over {size} ranks is {found.numpy().tolist()}, "
                    f"expected {expected.numpy().tolist()}"
                )
    return None


def main(folder: Path) -> int:
    """Report on this rank; the exit status is 1 where something failed."""
    report: dict[str, Any] = {"rank": -1, "failure": None}
    try:
        # Imported by name: this module belongs to a package that must import without TensorFlow.
        tf = importlib.import_module("tensorflow")
        hvd = importlib.import_module("horovod.tensorflow")
        hvd.init()
        report |= {"rank": hvd.rank(), "size": hvd.size(), "libmpi": libmpi_files()}
        report |= {"mpi": hvd.mpi_built(), "gloo": hvd.gloo_built(), "nccl": hvd.nccl_built()}
        report["failure"] = check_collectives(tf, hvd)
        hvd.shutdown()
    except Exception as error:
        # Whatever it is, the parent process tells it to the user.
        report["failure"] = f"{type(error).__name__}: {error}"
    name = f"rank-{report['rank']}-{os.getpid()}.json"
    (folder / name).write_text(json.dumps(report), encoding="utf-8")
    return 1 if report["failure"] else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
