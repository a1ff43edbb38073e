"""How a global batch is dealt to groups and workers, and a data set to the ranks that evaluate it.

All parts are contiguous and their sizes differ by at most one: part i of k over n examples is
[floor(i n / k), floor((i + 1) n / k)). Nothing is left out and nothing is dealt twice, for any k.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from horovod_lb.errors import RecipeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def group_bounds(size: int, groups: int) -> NDArray[np.int64]:
    """Where a global batch of `size` examples is cut into groups: int64[groups + 1], rising from 0 to `size`.

    Group g holds the examples bounds[g]:bounds[g + 1] of the batch. With fewer examples than groups some
    groups are empty.
    """
    import numpy as np

    _check(groups > 0 and size >= 0, f"{size} examples cannot be cut into {groups} groups")
    return np.arange(groups + 1, dtype=np.int64) * size // groups


def worker_groups(groups: int, workers: int, rank: int) -> range:
    """The groups that `rank` of `workers` works through; RecipeError unless `workers` divides `groups`."""
    _check(workers > 0 and 0 <= rank < workers, f"there is no rank {rank} among {workers} workers")
    _check(
        groups > 0 and groups % workers == 0,
        f"{groups} groups cannot be dealt to {workers} workers: the number of workers must divide them",
    )
    share = groups // workers
    return range(rank * share, (rank + 1) * share)


def shard(examples: int, rank: int, size: int) -> slice:
    """The part of `examples` that `rank` of `size` evaluates; over all ranks every example exactly once."""
    _check(size > 0 and 0 <= rank < size, f"there is no rank {rank} among {size} ranks")
    return slice(rank * examples // size, (rank + 1) * examples // size)


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise RecipeError(otherwise)
