"""Ticks where runs are: positions along an axis of numbers or names, and labels that do not touch."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from horovod_lb.analysis.figures import lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDE = 20
_CHARACTER = 0.066
_LINE = 24
_MOST_LINES = 6
_ANGLE = 40
_SLANTED = 0.2  # inches from one turned label to the next


class Scale(NamedTuple):
    """Where values stand along an axis (`at`, by `lines.name`), their labels, and whether they are numbers.

    `gap` is the smallest distance of two neighbours.
    """

    at: dict[str, float]
    labels: list[str]
    numeric: bool
    gap: float

    def of(self, value: Any) -> float:
        """The position of a value."""
        return self.at[lines.name(value)]

    def limits(self) -> tuple[float, float]:
        """The ends of the axis, with some air."""
        positions = list(self.at.values())
        margin = max(0.35 * self.gap, 0.05 * (max(positions) - min(positions)))
        return min(positions) - margin, max(positions) + margin

    def places(self, inches: float) -> list[float]:
        """Where the values stand on an axis of this length, in inches."""
        low, high = self.limits()
        return [inches * (position - low) / (high - low) for position in self.at.values()]


def scale(values: Sequence[Any], *, batch: bool = False) -> Scale:
    """The scale of an axis: batch sizes, and positive numbers that span a factor of 20, by their logarithm;
    names one after the other.
    """
    numeric = all(map(lines.is_number, values))
    wide = numeric and min(values) > 0 and max(values) >= _WIDE * min(values)
    positions = lines.places(values, logarithmic=batch or wide)
    labels = size_names(values) if batch else [wrapped(lines.name(value)) for value in values]
    gap = min((right - left for left, right in pairwise(sorted(positions))), default=1.0)
    return Scale(dict(zip(map(lines.name, values), positions, strict=True)), labels, numeric, gap)


def size_names(values: Sequence[Any]) -> list[str]:
    """Batch sizes as people write them: 8k for 8192 where all are powers of two, digits otherwise."""
    powers = all(isinstance(value, int) and value > 0 and value & (value - 1) == 0 for value in values)
    return [f"{value // 1024}k" if powers and value >= 1024 else lines.name(value) for value in values]


def wrapped(text: str) -> str:
    """A long name on several lines, as many as there is room for."""
    return "\n".join(textwrap.wrap(text, _LINE, max_lines=_MOST_LINES, placeholder=" …")) or text


def height(scale: Scale, inches: float) -> float:
    """What the labels of an axis of this length take beyond a line, in inches."""
    if _labels(scale, inches) is None:
        longest = max(len(line) for label in scale.labels for line in label.split("\n"))
        return 0.045 * longest
    return 0.12 * max(label.count("\n") for label in scale.labels)


def set_x(axes: Axes, scale: Scale, inches: float) -> None:
    """Ticks at the values of `scale` on an axis about `inches` long.

    Where labels would touch, numbers at equal distances have a label at every second, third, ... tick; all
    others are turned, and those that would touch even so have a tick alone.
    """
    axes.set_xlim(*scale.limits())
    labels = _labels(scale, inches)
    axes.set_xticks(list(scale.at.values()), labels or _spaced(scale, inches))
    axes.minorticks_off()
    if labels is None:
        for label in axes.get_xticklabels():
            label.set(rotation=_ANGLE, ha="right", rotation_mode="anchor")


def set_even(axes: Axes) -> None:
    """Ticks of a linear vertical axis that depend on its limits alone: those that depend on its length too
    may become wider once the layout has made room for them.
    """
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))


def set_log(axes: Axes, which: Literal["x", "y"]) -> None:
    """Makes an axis logarithmic, with plain numbers at 1, 2 and 5 times powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if which == "x":
        axes.set_xscale("log")
    else:
        axes.set_yscale("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def _labels(scale: Scale, inches: float) -> list[str] | None:
    """The labels as they are, or fewer; None where they must be turned."""
    places = scale.places(inches)
    gaps = [right - left for left, right in pairwise(places)]
    even = scale.numeric and max(gaps, default=0) < 1.01 * min(gaps, default=0)
    for step in range(1, len(places) if even else 2):
        kept = list(zip(places, scale.labels, strict=True))[::step]
        if all(right - left >= _needed(one, other) for (left, one), (right, other) in pairwise(kept)):
            return [label if index % step == 0 else "" for index, label in enumerate(scale.labels)]
    return scale.labels if len(places) == 1 else None


def _spaced(scale: Scale, inches: float) -> list[str]:
    """The labels for turned ones: those that would touch the one before are empty."""
    kept: list[str] = []
    last = -math.inf
    for place, label in zip(scale.places(inches), scale.labels, strict=True):
        free = place - last >= _SLANTED * (1 + label.count("\n"))
        kept.append(label if free else "")
        last = place if free else last
    return kept


def _needed(one: str, other: str) -> float:
    """The distance that two labels side by side need from centre to centre, in inches."""
    widths = [max(map(len, label.split("\n"))) * _CHARACTER for label in (one, other)]
    return sum(widths) / 2 + _CHARACTER
