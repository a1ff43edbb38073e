"""Heat maps: final accuracy over two axes, a cell a point, a panel a value of further axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple

from horovod_lb.analysis.figures import lines
from horovod_lb.analysis.figures.along import axis_label, axis_name
from horovod_lb.analysis.figures.choices import chosen
from horovod_lb.analysis.figures.drawn import Drawn, Kind
from horovod_lb.analysis.figures.finals import best_of_tuned, counts
from horovod_lb.analysis.figures.panels import add_legend, legend_size, panels
from horovod_lb.analysis.figures.style import styled
from horovod_lb.analysis.figures.ticks import size_names
from horovod_lb.analysis.points import BATCH_AXES, Point
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.table import sort_key

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

RATES = ("recipe.reference.learning_rate", "learning_rate", "learning_rate_peak")
WARMUPS = ("recipe.warmup.epochs", "recipe.warmup.steps", "recipe.warmup", "warmup_epochs")
_CELL = 0.5, 0.34  # inches
_EMPTY, _DIVERGED = "#f1f2f2", "#ffffff"
_HATCH: dict[str, Any] = {"facecolor": _DIVERGED, "edgecolor": "#8a8d90", "hatch": "/////", "linewidth": 0.4}
_BEST: dict[str, Any] = {"fill": False, "edgecolor": "#000000", "linewidth": 1.8}
_LEGEND: dict[str, Any] = {"linestyle": "none", "marker": "s", "markersize": 8}


class Pair(NamedTuple):
    """The axis that runs up and the one that runs across, and those that make panels."""

    up: str
    across: str
    panels: tuple[str, ...]


def heat_map(results: Results) -> Drawn | None:
    """Mean final validation accuracy in percent and number of runs, by `axes_of(results)`.

    Cells are hatched where all runs diverged, say so where some did, and are pale where no run has a result;
    a frame marks the best cell of each panel. None where fewer than two axes vary or nothing has a result.
    """
    pair = axes_of(results)
    if pair is None or not any(point.accuracy.n or point.n_diverged for point in results.points):
        return None
    results, tuned = best_of_tuned(results, pair.up, pair.across)
    pair = pair._replace(panels=tuple(axis for axis in pair.panels if axis in results.axes))
    ups, acrosses = lines.values_of(results, pair.up), lines.values_of(results, pair.across)
    by_panel = lines.by_panel(results, pair.panels)
    # A panel with a single cell is no map, where others are.
    by_panel = [one for one in by_panel if len(one[1]) > 1] or by_panel
    names = _names(pair.up, ups, 24 if chosen().width == "page" else 14)
    beside = 0.45 + 0.06 * max(len(line) for name in names for line in name.split("\n"))
    tall = max(_CELL[1], 0.08 + 0.13 * max(name.count("\n") + 1 for name in names))
    entries = _entries(results.points)
    right = 0.7 + legend_size([], entries).width  # the colour bar and the legend
    cell = min(_CELL[0], (chosen().inches - right - beside) / len(acrosses))
    digits = 2 if cell > 0.4 else 1 if cell > 0.3 else None
    width = cell * len(acrosses) + beside
    columns = max(1, min(len(by_panel), int((chosen().inches - right) / width + 1e-9)))
    titles = [fill(title, max(12, int(cell * len(acrosses) / 0.06))) for title, _ in by_panel]
    with styled():
        figure, all_axes = panels(
            titles, width=width, height=tall * len(ups) + 0.75, beside=right, columns=columns
        )
        colors = _colors(results.points)
        for axes, title, (_, points) in zip(all_axes, titles, by_panel, strict=True):
            axes.set_title(title)
            at = {
                (_key(results, point, pair.across), _key(results, point, pair.up)): point for point in points
            }
            _cells(axes, at, acrosses, ups, colors, digits)
        _name_axes(
            all_axes,
            columns,
            pair,
            names,
            _names(pair.across, acrosses, 18),
            cell,
            int(tall * len(ups) / 0.065) + 3,
        )
        _color_bar(figure, all_axes, colors, results.points)
        add_legend(figure, [], entries)
    in_cells = (
        "mean over seeds (n) in each cell"
        if digits
        else f"means over seeds ({counts([point.accuracy.n for point in results.points])})"
    )
    caption = (
        f"Final validation accuracy (%) by {axis_name(pair.up)} and {axis_name(pair.across)}: {in_cells}"
        f"{tuned}; a frame marks the best one."
    )
    return Drawn(
        f"heat_map_{axis_name(pair.up)}_{axis_name(pair.across)}".replace(" ", "_"), caption, figure, 0
    )


def axes_of(results: Results) -> Pair | None:
    """The axes of a heat map: learning rate by warmup where a study varies both, else batch size by warmup,
    else learning rate by batch size, else the first two that vary, those of numbers before others.
    """
    varied = [axis for axis in lines.axes(results) if len(lines.values_of(results, axis)) > 1]
    rate, warmup, batch = (
        next((axis for axis in varied if axis in names), None) for names in (RATES, WARMUPS, BATCH_AXES)
    )
    numeric = [axis for axis in varied if axis in lines.numeric_axes(results)]
    rest = [*numeric, *(axis for axis in varied if axis not in numeric)]
    # A category reads best from left to right.
    others = (rest[1], rest[0]) if len(rest) > 1 else (None, None)
    for up, across in ((rate, warmup), (batch, warmup), (rate, batch), others):
        if up and across:
            return Pair(up, across, tuple(axis for axis in varied if axis not in (up, across)))
    return None


def _key(results: Results, point: Point, axis: str) -> Any:
    return sort_key([lines.value_at(results, point, axis)])


class _Colors(NamedTuple):
    of: Colormap
    norm: Normalize
    below: bool


def _colors(points: Sequence[Point]) -> _Colors:
    """Colours from the lowest to the highest mean; means at chance level would leave one colour for all
    others, and are shown as below the scale.
    """
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    finished = [point for point in points if point.accuracy.mean is not None]
    learned = [point for point in finished if not point.count("chance")] or finished
    means = [100 * (point.accuracy.mean or 0.0) for point in learned] or [0.0, 100.0]
    low, high = min(means), max(means)
    if high - low < 0.1:
        low, high = low - 0.05, high + 0.05
    return _Colors(colormaps["cividis"], Normalize(low, high, clip=True), len(learned) < len(finished))


def _cells(
    axes: Axes,
    points: Mapping[tuple[Any, Any], Point],
    acrosses: Sequence[Any],
    ups: Sequence[Any],
    colors: _Colors,
    digits: int | None,
) -> None:
    from matplotlib.patches import Rectangle

    means = [point.accuracy.mean for point in points.values() if point.accuracy.mean is not None]
    for column, across in enumerate(acrosses):
        for row, up in enumerate(ups):
            point = points.get((sort_key([across]), sort_key([up])))
            if point is None:
                continue
            corner = (column - 0.5, row - 0.5)
            mean = point.accuracy.mean
            best = mean is not None and mean == max(means)
            if mean is None:
                look: dict[str, Any] = _HATCH if point.n_diverged else {"facecolor": _EMPTY}
            else:
                look = {"facecolor": colors.of(colors.norm(100 * mean))}
            look = {"edgecolor": "#ffffff", "linewidth": 0.8, **look}
            axes.add_patch(Rectangle(corner, 1, 1, **look))
            if best:
                axes.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, zorder=3, **_BEST))
            axes.text(
                column,
                row,
                _text(point, digits),
                ha="center",
                va="center",
                fontsize=6.5,
                linespacing=0.95,
                color=_ink(look["facecolor"]),
                fontweight="bold" if best else "normal",
                bbox={"facecolor": "#ffffff", "edgecolor": "none", "pad": 0.6} if "hatch" in look else None,
            )
    axes.set_xlim(-0.5, len(acrosses) - 0.5)
    axes.set_ylim(-0.5, len(ups) - 0.5)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _text(point: Point, digits: int | None) -> str:
    """The mean in percent above the number of runs, and of diverged ones (`×`); nothing where cells are too
    small for it.
    """
    if digits is None:
        return ""
    crosses = f"{point.n_diverged}×" if point.n_diverged else ""
    if point.accuracy.mean is None:
        return f"({crosses})" if crosses else "–"
    counts = "; ".join(text for text in (str(point.accuracy.n), crosses) if text)
    return f"{100 * point.accuracy.mean:.{digits}f}\n({counts})"


def _ink(background: Any) -> str:
    """Black or white, whichever is read more easily: by the relative luminance of sRGB (WCAG 2.2)."""
    from matplotlib.colors import to_rgb

    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(background)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.18 else "#ffffff"


def _names(axis: str, values: Sequence[Any], letters: int) -> list[str]:
    """The values of an axis as ticks have them."""
    if axis in BATCH_AXES:
        return size_names(values)
    return [fill(lines.name(value), letters, break_long_words=False) for value in values]


def _name_axes(
    panels: Sequence[Axes],
    columns: int,
    pair: Pair,
    ups: Sequence[str],
    acrosses: Sequence[str],
    cell: float,
    letters: int,
) -> None:
    longest = max(len(line) for name in acrosses for line in name.split("\n"))
    turned = 0.066 * (longest + 1) > cell
    for index, axes in enumerate(panels):
        axes.set_xticks(range(len(acrosses)), acrosses)
        axes.set_yticks(range(len(ups)), ups)
        if index % columns:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel(fill(axis_label(pair.up), letters))
        if index >= len(panels) - columns:
            axes.set_xlabel(axis_label(pair.across))
        for label in axes.get_xticklabels() if turned else ():
            label.set(rotation=60, ha="right", rotation_mode="anchor")


def _color_bar(figure: Figure, panels: Sequence[Axes], colors: _Colors, points: Sequence[Point]) -> None:
    from matplotlib.cm import ScalarMappable

    if any(point.accuracy.n for point in points):
        bar = figure.colorbar(
            ScalarMappable(colors.norm, colors.of),
            ax=list(panels),
            extend="min" if colors.below else "neither",
            label="accuracy (%)",
            aspect=25,
            pad=0.02,
        )
        bar.outline.set_visible(False)


def _entries(points: Sequence[Point]) -> list[tuple[str, dict[str, Any]]]:
    entries: list[tuple[str, dict[str, Any]]] = []
    if any(point.n_diverged for point in points):
        entries.append(("3×: three runs diverged", {"linestyle": "none"}))
    if any(not point.accuracy.n and not point.n_diverged for point in points):
        look = {**_LEGEND, "markerfacecolor": _EMPTY, "markeredgecolor": "#8a8d90", "markeredgewidth": 0.5}
        entries.append(("no result yet", look))
    return entries


def _all(results: Results) -> list[Drawn]:
    drawn = heat_map(results)
    return [] if drawn is None else [drawn]


KINDS = {"heat_map": Kind(_all, "final validation accuracy by rate and warmup, batch size and warmup, ...")}
