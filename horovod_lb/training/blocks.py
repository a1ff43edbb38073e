"""Which blocks of groups a rank works through, and in what order; pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One block of groups on one rank.

    Attributes:
        groups: the block's groups, of all ranks; empty where the rank only takes part in an exchange.
        ranks: the ranks that have groups of it.
        spans: whether ranks exchange here; then every rank has such a stage, at the same place of its order.
    """

    groups: range
    ranks: range
    spans: bool


def stages(groups: int, shared: int, ranks: int, rank: int) -> list[Stage]:
    """The blocks of `shared` consecutive groups, of `groups` dealt to `ranks`, that `rank` has groups of.

    Blocks that span ranks come first. They are exchanged in one round or, where a rank is in two of them, in
    two, alternately along the ranks: at most its first and its last block reach over to neighbours.
    """
    own = groups // ranks
    blocks = [range(start, start + shared) for start in range(0, groups, shared)]
    held = [Stage(block, range(block[0] // own, block[-1] // own + 1), False) for block in blocks]
    spanning = [stage for stage in held if len(stage.ranks) > 1]
    met = [edge for stage in spanning for edge in stage.ranks]
    rounds = 0 if not spanning else 2 if len(set(met)) < len(met) else 1
    order = []
    for number in range(rounds):
        mine = [stage for stage in spanning[number::rounds] if rank in stage.ranks]
        block, members = (mine[0].groups, mine[0].ranks) if mine else (range(0), range(rank, rank + 1))
        order.append(Stage(block, members, True))
    return order + [stage for stage in held if stage.ranks == range(rank, rank + 1)]
