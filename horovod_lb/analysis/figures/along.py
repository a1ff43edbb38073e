"""A quantity along an axis: a line a value of a further axis, means over seeds with intervals, single runs as
dots, marks for diverged runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from textwrap import fill
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.figures import lines
from horovod_lb.analysis.figures.choices import WIDTHS, chosen
from horovod_lb.analysis.figures.finals import best_of_tuned, counts
from horovod_lb.analysis.figures.panels import Section, add_legend, legend_size, panels, share_y
from horovod_lb.analysis.figures.panels import across as side_by_side
from horovod_lb.analysis.figures.style import INK, MARKERS, palette, styled
from horovod_lb.analysis.figures.ticks import height, scale, set_even, set_log, set_x
from horovod_lb.analysis.points import BATCH_AXES, Point
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.statistics import summarize
from horovod_lb.analysis.table import sort_key
from horovod_lb.analysis.wide import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL, COLUMN = 2.7, WIDTHS["column"]
BUDGET = "recipe.budget"
_MOST_LINES = 40
_MANY = 12
_LOW = 1.5
_ALL: dict[str, Any] = {"marker": "X", "markersize": 6, "markeredgecolor": "none", "linestyle": "none"}
_SOME: dict[str, Any] = {"marker": "x", "markersize": 5, "linestyle": "none"}
_CHANCE: dict[str, Any] = {"marker": 7, "markersize": 5, "linestyle": "none"}
_LEVEL: dict[str, Any] = {"color": INK, "linewidth": 0.9}
_LEVEL_STYLES = ((0, (5, 2)), (0, (1, 1.5)))


@dataclass(frozen=True)
class Quantity:
    """What stands upright: `values` gives one number a converged run of a point, in the unit that `label`
    names.

    `percent`: limited to 0..100. `logarithmic`: on a logarithmic axis. `worse_above`: diverged runs are
    marked at the head of the panel, not at its foot.
    """

    label: str
    values: Callable[[Point], Sequence[float]]
    percent: bool = False
    logarithmic: bool = False
    worse_above: bool = False


@dataclass(frozen=True)
class Along:
    """A figure of a quantity along an axis, what is on the axis, over how many runs the means are, and what
    a caption says of tuned axes.
    """

    figure: Figure
    axis: str
    colors: int
    n: str
    tuned: str


def axis_name(axis: str | None) -> str:
    """An axis for people; None and the batch size's keys are the batch size."""
    if axis is None or axis in BATCH_AXES:
        return "batch size"
    return "epochs" if axis == BUDGET else label(axis)


def axis_label(axis: str | None) -> str:
    """The same with its unit, for the figure."""
    if axis is None or axis in BATCH_AXES:
        return "global batch size (examples)"
    units = {
        "recipe.warmup.epochs": "warmup (epochs)",
        "recipe.epochs": "training (epochs)",
        BUDGET: "training (epochs)",
        "resources.workers": "workers",
    }
    return units.get(axis, label(axis))


def along(
    results: Results, axis: str | None, quantity: Quantity, levels: Sequence[tuple[str, float]] = ()
) -> Along | None:
    """Draws `quantity` along `axis` (None: the batch size of a study without axes), and `levels`, named
    horizontal lines.

    A colour and marker a value of the second axis, a panel a value of further ones. Bars are 95 % t
    intervals, cut at the panel's edge. Of points that differ in axes that the study names as tuned the best
    one is shown. None where no run has a value.
    """
    results, tuned = best_of_tuned(results, axis)
    if not any(quantity.values(point) for point in results.points):
        return None
    x = {id(point): _value(results, point, axis) for point in results.points}
    values = {sort_key([value]): value for value in x.values()}
    across = scale([values[key] for key in sorted(values)], batch=axis is None or axis in BATCH_AXES)
    roles = lines.roles(results, main=axis, most_styles=_MOST_LINES, most_lines=10**6)
    hues = lines.values_of(results, roles.second)
    colors = palette(len(hues))
    by_panel = lines.by_panel(results, roles.panels)
    entries = [
        (lines.name(hue), {"color": color, "marker": marker})
        for hue, color, marker in zip(hues, colors, cycle(MARKERS), strict=False)
    ]
    sections = [Section(label(roles.second), entries)] if roles.second else []
    further = [*_level_entries(levels), *_divergence(quantity, results.points)]
    beside, tall = legend_size(sections, further)
    width = PANEL if beside else COLUMN if len(entries) < _MANY else chosen().inches
    inches = min(width, (chosen().inches - beside) / side_by_side(len(by_panel))) - 0.6
    with styled():
        figure, all_axes = panels(
            [title for title, _ in by_panel],
            width=width,
            height=max(2.4 + height(across, inches), tall),
            beside=beside,
        )
        for axes, (_, points) in zip(all_axes, by_panel, strict=True):
            axes.set_autoscaley_on(False)  # see _limit
            if quantity.logarithmic:
                set_log(axes, "y")
            for index, (hue, color) in enumerate(zip(hues, colors, strict=True)):
                mine = [
                    (across.of(x[id(point)]), point)
                    for point in points
                    if lines.value_at(results, point, roles.second) == hue
                ]
                # Side by side, so that bars of equal values do not cover each other.
                shift = (index - (len(hues) - 1) / 2) * across.gap * min(0.05, 0.3 / len(hues))
                mine = sorted(((place + shift, point) for place, point in mine), key=lambda one: one[0])
                _series(axes, mine, quantity, color, MARKERS[index % len(MARKERS)], across.numeric)
            for (_, value), style in zip(levels, cycle(_LEVEL_STYLES), strict=False):
                axes.axhline(value, linestyle=style, **_LEVEL)
            set_x(axes, across, inches)
            axes.set_xlabel(axis_label(axis))
        _limit(all_axes, results.points, quantity, [value for _, value in levels])
        # A low panel has no room for a long line beside it.
        share_y(all_axes, fill(quantity.label, 20) if inches < _LOW else quantity.label)
        add_legend(figure, sections, further)
    n = counts([len(quantity.values(point)) for point in results.points])
    return Along(figure, axis_name(axis), len(hues), n, tuned)


def _series(
    axes: Axes,
    points: Sequence[tuple[float, Point]],
    quantity: Quantity,
    color: str,
    marker: str,
    connected: bool,
) -> None:
    x = [place for place, _ in points]
    values = [quantity.values(point) for _, point in points]
    # A line breaks where a point has no value.
    summaries = [summarize(found) for found in values]
    means = [math.nan if one.mean is None else one.mean for one in summaries]
    half = [0.0 if one.high is None else one.high - mean for one, mean in zip(summaries, means, strict=True)]
    below = [min(one, 0.999 * mean) for one, mean in zip(half, means, strict=True)]
    axes.errorbar(
        x,
        means,
        yerr=[below if quantity.logarithmic else half, half],
        color=color,
        marker=marker,
        markersize=4.5,
        linestyle="-" if connected else "",
        capsize=2,
        elinewidth=0.9,
    )
    dots = [(place, one) for place, found in zip(x, values, strict=True) for one in found if len(found) > 1]
    if dots:
        axes.plot(*zip(*dots, strict=True), ".", color=color, markersize=2.5, alpha=0.5)
    for (place, point), found in zip(points, values, strict=True):
        look = _mark(point, quantity, bool(found))
        if look:
            edge = 0.96 if quantity.worse_above else 0.04
            # x in data, y as a fraction of the panel's height
            axes.plot(place, edge, color=color, transform=axes.get_xaxis_transform(), **look)


def _mark(point: Point, quantity: Quantity, found: bool) -> dict[str, Any] | None:
    """The look of the mark at the panel's edge of a point with diverged runs or runs at chance level."""
    if point.n_diverged:
        return _SOME if found else _ALL
    return _CHANCE if _at_chance(point, quantity) else None


def _at_chance(point: Point, quantity: Quantity) -> bool:
    """Whether runs of the point are at chance level, which would leave no room for all others."""
    return quantity.percent and point.count("chance") > 0


def _value(results: Results, point: Point, axis: str | None) -> Any:
    """The point's value on an axis; of a budget the epochs that it comes to."""
    if axis is None:
        return lines.batch_size(point)
    return point.runs[0].value("epochs") if axis == BUDGET else lines.value_at(results, point, axis)


def _limit(
    panels: Sequence[Axes], points: Sequence[Point], quantity: Quantity, levels: Sequence[float]
) -> None:
    """Limits that show every run and level, and of intervals what fits beside them."""
    there = [point for point in points if quantity.values(point)]
    learned = [point for point in there if not _at_chance(point, quantity)]
    runs = [quantity.values(point) for point in learned or there]
    ends = [end for one in map(summarize, runs) for end in (one.low, one.high) if end is not None]
    shown = [*(value for values in runs for value in values), *levels]
    if quantity.logarithmic:
        shown, ends = [math.log10(one) for one in shown], [math.log10(one) for one in ends if one > 0]
    low, high = min(shown), max(shown)
    room = 0.5 * (high - low) or 0.5
    low, high = max(low - room, min([low, *ends])), min(high + room, max([high, *ends]))
    air = 0.06 * (high - low) or (0.5 if quantity.percent else 0.05 * abs(high) or 1)
    marked = any(point.n_diverged for point in points) or len(learned) < len(there)
    below, above = ((1, 2.5) if quantity.worse_above else (2.5, 1)) if marked else (1, 1)
    low, high = low - below * air, high + above * air
    if quantity.percent:
        low, high = max(low, -below * air), min(high, 100 + above * air)
    if quantity.logarithmic:
        low, high = 10**low, 10**high
    for axes in panels:
        axes.set_ylim(low, high)
        if not quantity.logarithmic:
            set_even(axes)


def _level_entries(levels: Sequence[tuple[str, float]]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (text, {**_LEVEL, "linestyle": style})
        for (text, _), style in zip(levels, cycle(_LEVEL_STYLES), strict=False)
    ]


def _divergence(quantity: Quantity, points: Sequence[Point]) -> list[tuple[str, dict[str, Any]]]:
    entries = []
    if any(point.n_diverged and not quantity.values(point) for point in points):
        entries.append(("all diverged", {**_ALL, "color": INK}))
    if any(point.n_diverged and quantity.values(point) for point in points):
        entries.append(("some diverged", {**_SOME, "color": INK}))
    if any(_at_chance(point, quantity) for point in points):
        entries.append(("at chance level", {**_CHANCE, "color": INK}))
    return entries
