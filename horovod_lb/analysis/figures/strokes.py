"""A curve with its band, its breaks and its ticks: what stands inside one panel."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.figures.lines import Band

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CROSS: dict[str, Any] = {"marker": "x", "linestyle": "none", "markersize": 5}
"""The mark of a run that diverged."""
_MARKED_UP_TO = 12


@dataclass(frozen=True)
class Part:
    """A column of `epochs.csv` as it is drawn: `label` is its axis', with the unit; `word` its entry in a
    legend where parts share panels.

    `percent`: a fraction drawn in percent; `error`: one minus it. `scale` is `linear`, `log`, or `auto`:
    logarithmic where the values are positive and span a factor of 30.
    """

    column: str
    label: str
    word: str = ""
    percent: bool = False
    error: bool = False
    scale: str = "linear"

    def of(self, value: float) -> float:
        """The value in the unit of the axis."""
        return (100 if self.percent else 1) * (1 - value if self.error else value)


def plot(axes: Axes, band: Band, x: Sequence[float], part: Part, look: dict[str, Any]) -> None:
    """The mean as a line that breaks where epochs are missing, and the band."""
    usual = statistics.median([right - left for left, right in pairwise(band.epochs)] or [1])
    broken = [right - left > 1.5 * usual for left, right in pairwise(band.epochs)]
    places: list[float] = []
    columns: tuple[list[float], list[float], list[float]] = ([], [], [])
    for index, place in enumerate(x):
        if index and broken[index - 1]:
            places.append(math.nan)
            for column in columns:
                column.append(math.nan)
        places.append(place)
        for column, values in zip(columns, (band.mean, band.low, band.high), strict=True):
            column.append(part.of(values[index]))
    few = len(band.epochs) <= _MARKED_UP_TO or any(left and right for left, right in pairwise(broken))
    axes.plot(places, columns[0], marker="o" if few else None, markersize=2.5, **look)
    if band.runs > 1 and len(band.epochs) > 1:
        axes.fill_between(places, columns[1], columns[2], color=look["color"], alpha=0.15, linewidth=0)


def epoch_ticks(axes: Axes, last: int) -> None:
    """Whole epochs at the ticks; a single epoch stands in the middle."""
    from matplotlib.ticker import MaxNLocator

    if last == 1:
        axes.set_xlim(0.5, 1.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
