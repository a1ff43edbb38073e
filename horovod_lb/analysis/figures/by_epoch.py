"""Curves by epoch: the mean over seeds, a band from the lowest to the highest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.figures import lines
from horovod_lb.analysis.figures.drawn import Drawn, Kind
from horovod_lb.analysis.figures.panels import Section, add_legend, limit_percent, panels, share_y
from horovod_lb.analysis.figures.style import INK, LINE_STYLES, palette, styled
from horovod_lb.analysis.points import Point
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.wide import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ZOOM_FROM = 6
_MARKED_UP_TO = 12


def accuracy_by_epoch(results: Results) -> Drawn | None:
    """Validation accuracy: the mean over seeds, a band from the lowest to the highest, and the second half
    enlarged.
    """
    n = lines.runs_a_point(results)
    caption = (
        f"Validation accuracy by epoch: mean over seeds ({n}), band from the lowest to the highest seed."
    )
    if any(point.n_diverged for point in results.points):
        caption += " A cross ends a run that diverged."
    return _by_epoch(results, "val_accuracy", "accuracy_by_epoch", "validation accuracy (%)", caption)


def learning_rate_by_epoch(results: Results) -> Drawn | None:
    """The learning rate that each epoch recorded."""
    caption = "Learning rate by epoch, as the runs recorded it."
    return _by_epoch(results, "learning_rate", "learning_rate_by_epoch", "learning rate", caption)


def _by_epoch(results: Results, column: str, name: str, y_label: str, caption: str) -> Drawn | None:
    from matplotlib.ticker import MaxNLocator

    last = max((run.epochs[-1]["epoch"] for run in results.records if run.epochs), default=0)
    bands = {id(point): lines.band(point, column) for point in results.points}
    if not any(bands.values()) and not any(lines.diverged(point, column) for point in results.points):
        return None
    percent = column == "val_accuracy"
    roles = lines.roles(results)
    mains, seconds = lines.values_of(results, roles.main), lines.values_of(results, roles.second)
    colors = palette(len(mains))
    by_panel = lines.by_panel(results, roles.panels)
    zoom = percent and len(by_panel) == 1 and last >= _ZOOM_FROM
    if zoom:
        by_panel = [("all epochs", by_panel[0][1]), ("second half", by_panel[0][1])]
    with styled():
        figure, all_axes = panels([title for title, _ in by_panel], width=3.7, height=3.4)
        for axes, (_, points) in zip(all_axes, by_panel, strict=True):
            for point in points:
                color = colors[mains.index(lines.value_at(results, point, roles.main))]
                style = LINE_STYLES[seconds.index(lines.value_at(results, point, roles.second))]
                _curves(axes, point, bands[id(point)], column, 100 if percent else 1, color, style)
            axes.set_xlabel("epoch")
            axes.set_xlim(0.5 if last == 1 else None, 1.5 if last == 1 else None)
            axes.xaxis.set_major_locator(
                MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
            )
            if percent:
                limit_percent(axes)
            else:
                axes.set_ylim(bottom=0)
        if zoom:
            _enlarge(all_axes[1], [found for found in bands.values() if found], last)
        share_y(all_axes[:1] if zoom else all_axes, y_label)
        looks: list[tuple[str | None, list[Any], list[dict[str, Any]]]] = [
            (roles.main, mains, [{"color": color} for color in colors]),
            (roles.second, seconds, [{"color": INK, "linestyle": style} for style in LINE_STYLES]),
        ]
        sections = [
            Section(label(axis), list(zip(map(lines.name, values), styles, strict=False)))
            for axis, values, styles in looks
            if axis
        ]
        crossed = percent and any(lines.diverged(point, column) for point in results.points)
        cross = {"color": INK, "marker": "x", "linewidth": 0.8}
        add_legend(figure, sections, [("diverged run", cross)] if crossed else [])
    return Drawn(name, caption, figure, len(mains))


def _curves(
    axes: Axes, point: Point, band: lines.Band | None, column: str, scale: float, color: str, style: Any
) -> None:
    if band:
        marker = "o" if len(band.epochs) <= _MARKED_UP_TO else None
        mean = [scale * value for value in band.mean]
        axes.plot(band.epochs, mean, color=color, linestyle=style, marker=marker, markersize=3)
        if band.runs > 1 and len(band.epochs) > 1:
            low, high = ([scale * value for value in values] for values in (band.low, band.high))
            axes.fill_between(band.epochs, low, high, color=color, alpha=0.15, linewidth=0)
    for found in lines.diverged(point, column) if column == "val_accuracy" or not band else ():
        epochs = sorted(found)
        axes.plot(
            epochs, [scale * found[epoch] for epoch in epochs], color=color, linestyle=style, linewidth=0.8
        )
        if column == "val_accuracy":
            axes.plot(epochs[-1], scale * found[epochs[-1]], color=color, marker="x", linestyle="none")


def _enlarge(axes: Axes, bands: Sequence[lines.Band], last: int) -> None:
    """Limits a panel of accuracies to the second half of the epochs and to what happens there."""
    first = last // 2 + 1
    values = [
        100 * value
        for band in bands
        for epoch, low, high in zip(band.epochs, band.low, band.high, strict=True)
        if epoch >= first
        for value in (low, high)
    ]
    axes.set_xlim(first - 0.5, last + 0.5)
    if values:
        air = 0.06 * (max(values) - min(values)) or 0.5
        axes.set_ylim(min(values) - air, max(values) + air)
        limit_percent(axes)


def _those(*drawn: Drawn | None) -> list[Drawn]:
    return [found for found in drawn if found is not None]


KINDS = {
    "accuracy_by_epoch": Kind(
        lambda results: _those(accuracy_by_epoch(results)), "validation accuracy by epoch", usual=True
    ),
}
RATES = {
    "learning_rate_by_epoch": Kind(
        lambda results: _those(learning_rate_by_epoch(results)), "learning rate by epoch", usual=True
    ),
}
