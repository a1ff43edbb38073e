"""What falls to one rank of every global batch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horovod_lb.data.feed import Request
from horovod_lb.data.order import Order
from horovod_lb.data.partition import group_bounds, worker_groups

Group = tuple[NDArray[Any], NDArray[np.int64]]


class Portion:
    """The groups of every global batch that `rank` of `ranks` works through.

    `order` gives the global batches, `groups` is into how many each is cut. `numbers` are this rank's among
    them. RecipeError unless `ranks` divides `groups`.
    """

    def __init__(self, order: Order, groups: int, ranks: int, rank: int) -> None:
        self.order, self.groups = order, groups
        self.numbers = worker_groups(groups, ranks, rank)

    def requests(self, start: int, stop: int) -> Iterator[Request]:
        """The examples of this rank in steps `start` to `stop` - 1, with their epochs: for `feed.stream`."""
        for step in range(start, stop):
            bounds = self._bounds(step)
            mine = slice(bounds[0], bounds[-1])
            yield self.order.step_indices(step)[mine], self.order.step_epochs(step)[mine]

    def cut(self, step: int, x: NDArray[Any], y: NDArray[np.int64]) -> list[Group]:
        """This rank's examples of `step`, as in `requests`, cut into its groups; some may be empty."""
        bounds = self._bounds(step)
        return [(x[a:b], y[a:b]) for a, b in itertools.pairwise(bounds - bounds[0])]

    def _bounds(self, step: int) -> NDArray[np.int64]:
        """Where this rank's groups begin in the global batch of `step`, and where the last one ends."""
        bounds = group_bounds(self.order.step_size(step), self.groups)
        return bounds[self.numbers.start : self.numbers.stop + 1]
