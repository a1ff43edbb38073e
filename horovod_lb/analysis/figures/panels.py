"""The frame of a figure: panels side by side, one legend beside or below them that covers no data, limits and
labels. Figures are as wide as they are printed, so that the sizes of their letters are those on paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from horovod_lb.analysis.figures.choices import chosen
from horovod_lb.analysis.figures.style import TITLE_SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_ACROSS = 3
_LETTER = 0.062  # inches: the mean width of a letter of a legend or title, and the height of its line
_LINE = 0.142
_ENTRY = 0.52  # inches: line and gaps of an entry of a legend
_LONGEST = 40
_LOWEST = 1.75  # inches: the least height of a panel
_BESIDE = 1.9  # inches: the widest and the tallest legend that stands beside the panels
_TALLEST = 3.4
_MOST_DECADES = 6  # of a logarithmic axis with plain numbers
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_FEW_DECADES = 1.7  # with ticks between powers of ten


class Size(NamedTuple):
    """Inches."""

    width: float
    height: float


class Section(NamedTuple):
    """A part of the legend: a title and its entries, each with the properties of the line that stands for
    it.
    """

    title: str | None
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
    """A figure with a panel a title (None: an empty place), `columns` in a row, each `width` × `height`
    inches or, where that is more than the page holds, less; `beside` inches are for a legend.
    """
    from matplotlib.figure import Figure

    columns = columns or across(len(titles))
    down = -(-len(titles) // columns)
    most = chosen().inches
    beside = min(beside, 0.3 * most)
    wide = min(width, (most - (beside if columns * width + beside > most else 0)) / columns)
    tall = max(min(height, _LOWEST), height * min(1.0, math.sqrt(wide / width)))
    across_all = min(most, columns * wide + beside)
    # A legend beside the panels takes none of its room from their titles.
    room = across_all if chosen().width == "column" else columns * wide
    letters = max(12, int((room - 0.5) / columns / _LETTER) - 6)
    wrapped = [None if title is None else wrap(title, letters) for title in titles]
    rows = [wrapped[start : start + columns] for start in range(0, len(wrapped), columns)]
    further = sum(max(0, *(len(lines or ()) - 2 for lines in row)) for row in rows)
    figure = Figure(figsize=(across_all, down * tall + further * _LINE), layout="constrained")
    grid = figure.subplots(down, columns, squeeze=False).ravel()
    for axes, lines in zip(grid, [*wrapped, *[None] * (len(grid) - len(titles))], strict=True):
        if lines is None:
            axes.remove()
        else:
            axes.set_title("\n".join(lines))
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


def tidy_log(axes: Axes, which: Literal["x", "y"] = "y") -> None:
    """Plain numbers at the ticks of a logarithmic axis, once it has its limits, few enough not to touch."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    axis = axes.yaxis if which == "y" else axes.xaxis
    low, high = axes.get_ylim() if which == "y" else axes.get_xlim()
    decades = math.log10(high / low)
    axis.set_minor_formatter(NullFormatter())
    if decades > _MOST_DECADES:
        axis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))
        return
    subs = (1.0, 2.0, 5.0) if decades < _FEW_DECADES else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
    if decades < _FEW_DECADES:
        axis.set_minor_locator(NullLocator())


def _power(value: float) -> str:
    """`10⁻⁷`; nothing at ticks that are no powers of ten."""
    exponent = round(math.log10(value))
    return "10" + str(exponent).translate(_RAISED) if math.isclose(value, 10.0**exponent) else ""


def limit_percent(axes: Axes, *, room_below: bool = False) -> None:
    """Keeps an axis of percentages within 0 to 100, with a little air; `room_below` leaves space for marks at
    the foot.
    """
    low, high = axes.get_ylim()
    air = 0.02 * (high - low)
    low = max(low, -air)
    high = max(min(high, 100 + air), low + 0.5)
    axes.set_ylim(low - (0.1 * (high - low) if room_below else 0), high)


def legend_size(sections: Sequence[Section], further: Sequence[tuple[str, Mapping[str, Any]]]) -> Size:
    """Inches that the legend takes beside the panels; 0 where there is none, or it goes below them."""
    _, texts = _entries(sections, further)
    size = _size(texts)
    return size if _fits_beside(size) else Size(0.0, 0.0)


def add_legend(
    figure: Figure, sections: Sequence[Section], further: Sequence[tuple[str, Mapping[str, Any]]]
) -> None:
    """One legend: sections with their titles, then `further` entries. It stands to the right of the panels
    where it is small, else below them, for which the figure grows.
    """
    from matplotlib.lines import Line2D

    title = sections[0].title if len(sections) == 1 else None
    looks, texts = _entries([Section(None, sections[0].entries)] if title else sections, further)
    if not texts:
        return
    whole, columns = _size([title, *texts] if title else texts), 1
    across, down = figure.get_size_inches()
    below = not _fits_beside(whole) or whole.height > down
    if below:
        columns = max(1, int((across - 0.1) / _size(texts).width))
        looks, texts, columns = _in_columns(looks, texts, columns)
        rows = len(texts) // columns
        parts = [_size(texts[start : start + rows]).height for start in range(0, len(texts), rows)]
        figure.set_figheight(down + max(parts) + (_LINE if title else 0))
    # A title among others is an entry whose line is not seen.
    handles = [Line2D([], [], **(look or {"linestyle": "none"})) for look in looks]
    legend = figure.legend(
        handles,
        texts,
        title=title,
        title_fontproperties={"weight": "bold", "size": TITLE_SIZE},
        alignment="left",
        loc="outside lower center" if below else "outside right upper",
        ncols=columns,
        labelspacing=0.3,
        columnspacing=1.2,
    )
    for text, look in zip(legend.get_texts(), looks, strict=True):
        if look is None:
            text.set_fontweight("bold")


def _in_columns(
    looks: Sequence[Mapping[str, Any] | None], texts: Sequence[str], most: int
) -> tuple[list[Mapping[str, Any] | None], list[str], int]:
    """The entries in at most `most` columns of equal length, each title at the head of one, and how many
    columns that makes; what is empty is filled up.
    """
    starts = sorted({0, *(index for index, look in enumerate(looks) if look is None)})
    lengths = [end - start for start, end in pairwise([*starts, len(looks)])]
    rows = -(-len(looks) // most)
    while len(lengths) <= most < sum(-(-length // rows) for length in lengths):
        rows += 1
    if len(lengths) > most:  # more parts than columns: one after the other
        starts, lengths = [0], [len(looks)]
    new_looks: list[Mapping[str, Any] | None] = []
    new_texts: list[str] = []
    for start, length in zip(starts, lengths, strict=True):
        filling = -length % rows
        new_looks += [*looks[start : start + length], *[None] * filling]
        new_texts += [*texts[start : start + length], *[" "] * filling]
    return new_looks, new_texts, len(new_looks) // rows


def _entries(
    sections: Sequence[Section], further: Sequence[tuple[str, Mapping[str, Any]]]
) -> tuple[list[Mapping[str, Any] | None], list[str]]:
    """The look of each entry (None: a section's title) and its text, on several lines where it is long."""
    entries: list[tuple[str, Mapping[str, Any] | None]] = []
    for section in sections:
        entries += [(section.title, None)] if section.title else []
        entries += section.entries
    entries += further
    return [look for _, look in entries], ["\n".join(wrap(text, _LONGEST)) or " " for text, _ in entries]


def _size(texts: Sequence[str]) -> Size:
    lines = [line for text in texts for line in text.splitlines()]
    if not lines:
        return Size(0.0, 0.0)
    return Size(_ENTRY + _LETTER * max(map(len, lines)), 0.15 + _LINE * len(lines))


def _fits_beside(size: Size) -> bool:
    return chosen().width != "column" and size.width <= _BESIDE and size.height <= _TALLEST
