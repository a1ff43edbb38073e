"""The frame of a figure: panels side by side, one legend beside or below them that covers no data, limits and
labels. Figures are as wide as they are printed, so that the sizes of their letters are those on paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any, NamedTuple

from horovod_lb.analysis.figures.choices import chosen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_ACROSS = 3
_LETTER = 0.062  # inches: the mean width of a letter of a legend or title, and the height of its line
_LINE = 0.142
_ENTRY = 0.52  # inches: line and gaps of an entry of a legend
_LONGEST = 40
_LOWEST = 1.75  # inches: the least height of a panel


class Section(NamedTuple):
    """A part of the legend: a title and its entries, each with the properties of the line that stands for
    it.
    """

    title: str
    entries: Sequence[tuple[str, Mapping[str, Any]]]


def across(count: int) -> int:
    """How many of `count` panels stand side by side at the width of the figure."""
    if chosen().width == "column":
        return 1 if count <= _MOST_ACROSS else 2
    return 2 if count == 4 else min(_MOST_ACROSS, count)


def panels(
    titles: Sequence[str | None],
    *,
    width: float,
    height: float,
    beside: float = 1.6,
    columns: int | None = None,
) -> tuple[Figure, list[Axes]]:
    """A figure with a panel a title (None: an empty place), `columns` in a row, each `width` × `height` inches
    or, where that is more than the page holds, less; `beside` inches are for a legend.
    """
    from matplotlib.figure import Figure

    columns = columns or across(len(titles))
    down = -(-len(titles) // columns)
    most = chosen().inches
    beside = min(beside, 0.3 * most)
    wide = min(width, (most - (beside if columns * width + beside > most else 0)) / columns)
    tall = max(min(height, _LOWEST), height * min(1.0, wide / width))
    figure = Figure(figsize=(min(most, columns * wide + beside), down * tall), layout="constrained")
    grid = figure.subplots(down, columns, squeeze=False).ravel()
    letters = max(12, int((figure.get_figwidth() - 0.5) / columns / _LETTER) - 6)
    for axes, title in zip(grid, [*titles, *[None] * (len(grid) - len(titles))], strict=True):
        if title is None:
            axes.remove()
        else:
            axes.set_title("\n".join(wrap(title, letters)))
    return figure, [axes for axes, title in zip(grid, titles, strict=False) if title is not None]


def share_y(panels: Sequence[Axes], label: str) -> None:
    """Gives all panels one vertical scale, and the left ones its label."""
    low = min(axes.get_ylim()[0] for axes in panels)
    high = max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(low, high)
        place = axes.get_subplotspec()
        if place is None or place.is_first_col():
            axes.set_ylabel(label)


def label_x(panels: Sequence[Axes], label: str) -> None:
    """Labels the horizontal axes of the lowest panel of each column."""
    lowest: dict[int, tuple[int, Axes]] = {}
    for axes in panels:
        place = axes.get_subplotspec()
        column, row = (place.colspan.start, place.rowspan.start) if place else (id(axes), 0)
        if column not in lowest or lowest[column][0] < row:
            lowest[column] = row, axes
    for _, axes in lowest.values():
        axes.set_xlabel(label)


def limit_percent(axes: Axes, *, room_below: bool = False) -> None:
    """Keeps an axis of percentages within 0 to 100, with a little air; `room_below` leaves space for marks at
    the foot.
    """
    low, high = axes.get_ylim()
    air = 0.02 * (high - low)
    low = max(low, -air)
    high = max(min(high, 100 + air), low + 0.5)
    axes.set_ylim(low - (0.1 * (high - low) if room_below else 0), high)


def add_legend(
    figure: Figure, sections: Sequence[Section], further: Sequence[tuple[str, Mapping[str, Any]]]
) -> None:
    """One legend: sections with their titles, then `further` entries. It stands to the right of the panels
    where it is small, else below them, for which the figure grows.
    """
    from matplotlib.lines import Line2D

    entries: list[tuple[str, Mapping[str, Any] | None]] = []
    for section in sections:
        entries += [(section.title, None), *section.entries]
    entries += further
    if not entries:
        return
    texts = ["\n".join(wrap(text, _LONGEST)) or " " for text, _ in entries]
    width = _ENTRY + _LETTER * max(len(line) for text in texts for line in text.splitlines())
    lines = [text.count("\n") + 1 for text in texts]
    across, down = figure.get_size_inches()
    room = min(1.6, 0.3 * across)
    below = width > room or chosen().width == "column" or sum(lines) * _LINE + 0.2 > down
    columns = max(1, min(len(entries), int((across - 0.1) / width))) if below else 1
    if below:
        rows = math.ceil(len(entries) / columns)
        starts = range(0, len(entries), rows)
        figure.set_figheight(down + 0.15 + _LINE * max(sum(lines[start : start + rows]) for start in starts))
    # A title is an entry whose line is not seen.
    handles = [Line2D([], [], **(look or {"linestyle": "none"})) for _, look in entries]
    legend = figure.legend(
        handles,
        texts,
        loc="outside lower center" if below else "outside right upper",
        ncols=columns,
        labelspacing=0.3,
        columnspacing=1.2,
    )
    for text, (_, look) in zip(legend.get_texts(), entries, strict=True):
        if look is None:
            text.set_fontweight("bold")
