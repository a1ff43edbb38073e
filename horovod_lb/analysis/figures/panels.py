"""The frame of a figure: panels side by side, one legend beside them that covers no data, limits and
labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_ACROSS = 3
_MOST_ENTRIES = 20


class Section(NamedTuple):
    """A part of the legend: a title and its entries, each with the properties of the line that stands for
    it.
    """

    title: str
    entries: Sequence[tuple[str, Mapping[str, Any]]]


def panels(
    titles: Sequence[str], *, width: float, height: float, beside: float = 1.6
) -> tuple[Figure, list[Axes]]:
    """A figure with a panel a title, at most three in a row, each `width` × `height` inches, and `beside`
    inches for a legend.
    """
    from matplotlib.figure import Figure

    across = 2 if len(titles) == 4 else min(_MOST_ACROSS, len(titles))
    down = -(-len(titles) // across)
    figure = Figure(figsize=(across * width + beside, down * height), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axes in grid[len(titles) :]:
        axes.remove()
    for axes, title in zip(grid, titles, strict=False):
        axes.set_title(title)
    return figure, list(grid[: len(titles)])


def share_y(panels: Sequence[Axes], label: str) -> None:
    """Gives all panels one vertical scale, and the left ones its label."""
    low = min(axes.get_ylim()[0] for axes in panels)
    high = max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(low, high)
        place = axes.get_subplotspec()
        if place is None or place.is_first_col():
            axes.set_ylabel(label)


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
    """One legend to the right of the panels: sections with their titles, then `further` entries."""
    from matplotlib.lines import Line2D

    entries: list[tuple[str, Mapping[str, Any] | None]] = []
    for section in sections:
        entries += [(section.title, None), *section.entries]
    entries += further
    if not entries:
        return
    # A title is an entry whose line is not seen.
    handles = [Line2D([], [], **(look or {"linestyle": "none"})) for _, look in entries]
    columns = 1 + (len(entries) - 1) // _MOST_ENTRIES
    legend = figure.legend(
        handles, [text for text, _ in entries], loc="outside right upper", ncols=columns, labelspacing=0.35
    )
    for text, (_, look) in zip(legend.get_texts(), entries, strict=True):
        if look is None:
            text.set_fontweight("bold")
