"""Series of values by batch size with a law through them, both axes by their logarithms where that suits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.figures import lines
from horovod_lb.analysis.figures.along import COLUMN, PANEL
from horovod_lb.analysis.figures.choices import chosen
from horovod_lb.analysis.figures.panels import Section, add_legend, legend_size, panels
from horovod_lb.analysis.figures.style import INK, MARKERS, palette, styled
from horovod_lb.analysis.figures.ticks import Scale, height, scale, set_even, set_log, set_x
from horovod_lb.analysis.points import BATCH_AXES
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.wide import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GUIDE: dict[str, Any] = {"color": "#8a8d90", "linewidth": 0.9}
GUIDE_STYLES = ((0, (1, 1.5)), (0, (5, 2)))
_BANDS: tuple[dict[str, Any], ...] = (
    {"color": "#b9bcbf", "alpha": 0.4, "linewidth": 0},
    {"color": "#56b4e9", "alpha": 0.3, "linewidth": 0},
)
_CROSS: dict[str, Any] = {"marker": "x", "markersize": 5, "linestyle": "none"}
_POINTS = 60


@dataclass(frozen=True)
class Spot:
    """A value at a batch size, from `low` to `high` where it is of several runs; `hollow` where it is less
    than it seems (see `Chart.hollow`).
    """

    batch_size: int
    value: float
    low: float | None = None
    high: float | None = None
    hollow: bool = False


@dataclass(frozen=True)
class Series:
    """Spots by rising batch size; `missed` are batch sizes without a value (see `Chart.missed`), `law` what
    is fitted to the spots and `law_text` what it says.
    """

    name: str
    spots: Sequence[Spot]
    missed: Sequence[int] = ()
    law: Callable[[float], float] | None = None
    law_text: str = ""


@dataclass(frozen=True)
class Chart:
    """What is common to the series: the vertical axis, what hollow spots and crosses mean, and guides, lines
    that values would follow by a rule: y by batch size. `bands` are named ranges of batch sizes, shaded;
    `ends` cut the vertical axis there.
    """

    label: str
    logarithmic: bool = True
    hollow: str = ""
    missed: str = ""
    guides: Mapping[str, Callable[[float], float]] = field(default_factory=dict)
    bands: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    ends: tuple[float, float] | None = None


def groups(results: Results) -> tuple[list[str], list[str]]:
    """The axes that make series and the tuned ones, the batch size being neither. Where a study does not say
    which are tuned, all numbers of the recipe are.
    """
    tuned = results.source.tuned
    if tuned is None:
        tuned = tuple(lines.numeric_axes(results))
    others = [axis for axis in results.axes if axis not in BATCH_AXES]
    return [axis for axis in others if axis not in tuned], [axis for axis in others if axis in tuned]


def group_name(values: Mapping[str, Any]) -> str:
    """The name of a series: the values of its axes, those of several axes with the axes' names."""
    if len(values) == 1:
        return lines.name(next(iter(values.values())))
    return ", ".join(f"{label(axis)} {lines.name(value)}" for axis, value in values.items())


def draw(series: Sequence[Series], chart: Chart, title: str) -> Figure:
    """The figure of `series`; `title` names what tells them apart, in the legend."""
    colors = palette(len(series))
    sizes = sorted(
        {size for one in series for size in (*(spot.batch_size for spot in one.spots), *one.missed)}
    )
    across = scale(sizes, batch=True)
    looks = list(zip(series, colors, cycle(MARKERS), strict=False))
    laws = {id(one): f": {one.law_text}" if one.law_text else "" for one in series}
    entries = [(one.name + laws[id(one)], {"color": color, "marker": marker}) for one, color, marker in looks]
    further: list[tuple[str, dict[str, Any]]] = []
    if len(series) == 1 and series[0].law_text:
        further.append((series[0].law_text, {"color": colors[0]}))
    further += [
        (text, {**GUIDE, "linestyle": style}) for text, style in zip(chart.guides, GUIDE_STYLES, strict=False)
    ]
    if any(spot.hollow for one in series for spot in one.spots):
        further.append(
            (chart.hollow, {"color": INK, "marker": "o", "markerfacecolor": "none", "linestyle": "none"})
        )
    if any(one.missed for one in series):
        further.append((chart.missed, {**_CROSS, "color": INK}))
    shown = [Section(title, entries)] if len(series) > 1 else []
    square = {"marker": "s", "markersize": 8, "linestyle": "none"}
    further += [(text, {**square, **look}) for text, look in zip(chart.bands, _BANDS, strict=False)]
    beside, tall = legend_size(shown, further)
    width = PANEL if beside else COLUMN
    inches = min(width, chosen().inches) - 0.6
    with styled():
        figure, (axes,) = panels(
            [""], width=width, height=max(2.4 + height(across, inches), tall), beside=beside
        )
        if chart.logarithmic:
            set_log(axes, "y")
        else:
            set_even(axes)
        for index, (one, color, marker) in enumerate(looks):
            # Side by side, so that bars of equal values do not cover each other.
            shift = (index - (len(series) - 1) / 2) * across.gap * min(0.05, 0.3 / len(series))
            _series(axes, one, across, color, marker, shift)
        _limit(axes, series, chart)
        for (_, guide), style in zip(chart.guides.items(), GUIDE_STYLES, strict=False):
            _curve(axes, guide, sizes, across, {**GUIDE, "linestyle": style, "zorder": 1})
        for (low, high), look in zip(chart.bands.values(), _BANDS, strict=False):
            axes.axvspan(across.of(low), across.of(high), zorder=0, **look)
        set_x(axes, across, inches)
        axes.set_xlabel("global batch size (examples)")
        axes.set_ylabel(chart.label)
        add_legend(figure, shown, further)
    return figure


def _series(axes: Axes, series: Series, across: Scale, color: str, marker: str, shift: float) -> None:
    for hollow in (False, True):
        spots = [spot for spot in series.spots if spot.hollow is hollow]
        low = [0.0 if spot.low is None else spot.value - spot.low for spot in spots]
        high = [0.0 if spot.high is None else spot.high - spot.value for spot in spots]
        axes.errorbar(
            [across.of(spot.batch_size) + shift for spot in spots],
            [spot.value for spot in spots],
            yerr=[low, high],
            color=color,
            marker=marker,
            markerfacecolor="none" if hollow else color,
            linestyle="none",
            capsize=2,
            elinewidth=0.9,
        )
    if series.law is not None:
        sizes = [spot.batch_size for spot in series.spots]
        _curve(axes, series.law, sizes, across, {"color": color, "linewidth": 1, "zorder": 2})
    else:
        axes.plot(
            [across.of(spot.batch_size) + shift for spot in series.spots],
            [spot.value for spot in series.spots],
            color=color,
            linewidth=0.9,
        )
    for size in series.missed:
        axes.plot(across.of(size) + shift, 0.96, color=color, transform=axes.get_xaxis_transform(), **_CROSS)


def _curve(
    axes: Axes, law: Callable[[float], float], sizes: Sequence[int], across: Scale, look: Mapping[str, Any]
) -> None:
    """A law between the smallest and the largest batch size; positions are logarithms to base 2."""
    low, high = across.of(min(sizes)), across.of(max(sizes))
    x = [low + (high - low) * index / _POINTS for index in range(_POINTS + 1)]
    axes.plot(x, [law(2**place) for place in x], **look)


def _limit(axes: Axes, series: Sequence[Series], chart: Chart) -> None:
    """Limits that show the values, whatever the guides do; room above for crosses."""
    if chart.ends is not None:
        axes.set_ylim(*chart.ends)
        return
    ends = [
        end
        for one in series
        for spot in one.spots
        for end in (spot.value, spot.low, spot.high)
        if end is not None
    ]
    if not ends:
        axes.set_ylim(1, 10)
        return
    low, high = min(ends), max(ends)
    above = 2.5 if any(one.missed for one in series) else 1
    if chart.logarithmic:
        factor = max(1.15, (high / low) ** 0.08)
        axes.set_ylim(low / factor, high * factor**above)
    else:
        air = 0.06 * (high or 1.0)
        axes.set_ylim(-0.3 * air if low < air else 0, high + above * air)
