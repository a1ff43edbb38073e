"""The self-test of synchronous training: do all ranks hold the same weights?"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import horovod.tensorflow as hvd
import numpy as np

from horovod_lb.errors import DistributedError


def check_identical(variables: Sequence[Any], when: str = "") -> None:
    """Compare a hash of every variable over the ranks; collective.

    Raises:
        DistributedError: on every rank, with the path of the first variable that differs and the ranks
            that do not hold rank 0's value.
    """
    if hvd.size() == 1:
        return
    # Ranks that hold another number of variables must not hang in the comparison itself.
    counts = hvd.allgather(np.array([len(variables)], np.int64), name="hlb.check.count").numpy()
    if len(set(counts.tolist())) > 1:
        raise DistributedError(f"the ranks hold different models: variables by rank {counts.tolist()}")
    mine = np.array([[_digest(variable) for variable in variables]], np.int64)
    table = hvd.allgather(mine, name="hlb.check.hash").numpy()
    differs = (table != table[0]).any(axis=0)
    if differs.any():
        first = int(np.argmax(differs))
        ranks = np.flatnonzero(table[:, first] != table[0, first]).tolist()
        raise DistributedError(
            f"the ranks' weights differ{' ' + when if when else ''}: first in {variables[first].path!r} "
            f"({int(differs.sum())} of {len(variables)} variables), on rank{'s' if len(ranks) > 1 else ''} "
            f"{', '.join(map(str, ranks))} against rank 0. Is the optimizer a DistributedOptimizer, and was "
            "the state broadcast before the first step?"
        )


def _digest(variable: Any) -> int:
    data = np.ascontiguousarray(np.asarray(variable)).tobytes()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little", signed=True)
