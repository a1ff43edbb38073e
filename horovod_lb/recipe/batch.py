"""How the global batch is divided: B examples, G groups of n, dealt to k workers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from horovod_lb.errors import RecipeError


@dataclass(frozen=True)
class Batch:
    """A global batch of B examples in G groups, worked through by k workers (ranks).

    A group is the unit of batch-norm statistics and of every random stream, so B and G are part of the
    recipe; k divides G and changes nothing but the speed.
    """

    batch_size: int
    groups: int
    workers: int

    def __post_init__(self) -> None:
        if self.batch_size % self.groups:
            raise RecipeError(
                f"recipe.batch_size: {self.batch_size} does not divide into {self.groups} groups; "
                f"batch_size {_either(_multiples_near(self.batch_size, self.groups))} would, "
                f"or groups {_either(_divisors_near(self.batch_size, self.groups))}",
                key="recipe.batch_size",
            )
        if self.groups % self.workers:
            raise RecipeError(
                f"recipe.groups: {self.groups} groups cannot be dealt evenly to {self.workers} workers; "
                f"workers {_either(_divisors_near(self.groups, self.workers))} would do, "
                f"or groups {_either(_multiples_near(self.groups, self.workers))}",
                key="recipe.groups",
            )

    @property
    def group_size(self) -> int:
        """n = B / G: examples in a group."""
        return self.batch_size // self.groups

    @property
    def groups_per_worker(self) -> int:
        """a = G / k: groups a worker goes through by accumulation before the all-reduce of the step."""
        return self.groups // self.workers

    @property
    def worker_size(self) -> int:
        """B / k: examples a worker sees in a step."""
        return self.batch_size // self.workers


def dealt(shares: Iterable[tuple[Batch, int]]) -> list[str]:
    """What ranks do that have several groups each, in a sentence for each number of groups and of ranks.

    `shares`: batches, and how many groups of a rank go through the network in one pass.
    """
    sizes: dict[tuple[int, int, int], set[int]] = {}
    for batch, together in shares:
        if batch.groups_per_worker > 1:
            sizes.setdefault((batch.groups, batch.workers, together), set()).add(batch.group_size)
    return [
        f"{groups} groups of {_range(sorted(found))} on {workers} rank{'' if workers == 1 else 's'}: "
        f"{groups // workers} groups a rank{_passes(groups // workers, together)}, then "
        f"{'one update' if workers == 1 else 'one all-reduce'} a step; "
        f"the weights are those of {groups} ranks, up to round-off"
        for (groups, workers, together), found in sizes.items()
    ]


def _passes(groups: int, together: int) -> str:
    if together == 1:
        return " one after the other"
    if together < groups:
        return f", {together} in each pass"
    return " in one pass, with the memory of all of them"


def _range(sizes: list[int]) -> str:
    return str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"


def divisors(number: int) -> list[int]:
    """The divisors of a positive number, rising."""
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return small + [number // d for d in reversed(small) if d * d != number]


def _multiples_near(number: int, base: int) -> list[int]:
    below = number // base * base
    return [value for value in (below, below + base) if value]


def _divisors_near(number: int, value: int) -> list[int]:
    """The divisor of `number` next below `value` and the one next above it."""
    below = max(d for d in range(1, min(value, number) + 1) if number % d == 0)
    above = min((d for d in range(value, number + 1) if number % d == 0), default=None)
    return [below] if above is None else [below, above]


def _either(values: list[int]) -> str:
    return " or ".join(str(value) for value in values)
