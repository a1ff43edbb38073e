"""This rank's groups of a step, by the stage in which it works through them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import tensorflow as tf

from horovod_lb.data.portion import Group
from horovod_lb.training.blocks import Stage
from horovod_lb.training.passes import Part

WHOLE = Stage(range(sys.maxsize), range(0), False)
"""One stage for all groups."""


def deal(
    groups: Sequence[Group], first_group: int, stages: Sequence[Stage]
) -> list[tuple[Stage, list[Part]]]:
    """This rank's groups that have examples, by stage.

    Left out: stages without any, but for those in which ranks exchange.
    """
    numbers = range(first_group, first_group + len(groups))
    ordered = [
        [number for number in numbers if number in stage.groups and len(groups[number - first_group][1])]
        for stage in stages
    ]
    flat = [number for members in ordered for number in members]
    mine = sum(len(y) for _, y in groups)

    def part(number: int) -> Part:
        x, y = groups[number - first_group]
        group = tf.constant(number, tf.int64)
        return Part(group, x, y, len(y) / mine, number == flat[0], number == flat[-1])

    return [
        (stage, [part(number) for number in members])
        for stage, members in zip(stages, ordered, strict=True)
        if members or stage.spans
    ]
