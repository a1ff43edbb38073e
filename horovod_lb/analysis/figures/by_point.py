"""Final accuracy along an axis: by batch size, by warmup, by whatever else the study varies."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, pairwise
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.figures import lines
from horovod_lb.analysis.figures.drawn import Drawn, Kind
from horovod_lb.analysis.figures.panels import Section, add_legend, limit_percent, panels, share_y
from horovod_lb.analysis.figures.style import INK, MARKERS, palette, styled
from horovod_lb.analysis.points import BATCH_AXES, Point
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.wide import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_LINES = 40
_ALL = {"marker": "X", "markersize": 7, "markeredgecolor": "none"}
_SOME = {"marker": "x", "markersize": 6}


def final_accuracy_by(results: Results, axis: str | None) -> Drawn | None:
    """Final validation accuracy along `axis` (None: the batch size of a study without axes).

    A line a value of the second axis: means over seeds with a standard deviation up and down; crosses at the
    foot for diverged runs. None where no run has a result.
    """
    if not any(point.accuracy.n or point.n_diverged for point in results.points):
        return None
    batch = axis is None or axis in BATCH_AXES
    named = "batch size" if axis is None or batch else label(axis)
    values = lines.values_of(results, axis) if axis else [lines.batch_size(results.points[0])]
    at = dict(zip(map(lines.name, values), lines.places(values, logarithmic=batch), strict=True))
    gap = min((right - left for left, right in pairwise(sorted(at.values()))), default=1.0)
    roles = lines.roles(results, main=axis, most_styles=_MOST_LINES, most_lines=10**6)
    hues = lines.values_of(results, roles.second)
    colors = palette(len(hues))
    by_panel = lines.by_panel(results, roles.panels)
    with styled():
        figure, all_axes = panels([title for title, _ in by_panel], width=4.4, height=3.4)
        for axes, (_, points) in zip(all_axes, by_panel, strict=True):
            for index, (hue, color) in enumerate(zip(hues, colors, strict=True)):
                # Side by side, so that bars of equal accuracies do not cover each other.
                shift = (index - (len(hues) - 1) / 2) * gap * min(0.05, 0.3 / len(hues))
                mine = [point for point in points if lines.value_at(results, point, roles.second) == hue]
                x = [
                    at[lines.name(lines.value_at(results, point, axis) if axis else values[0])]
                    for point in mine
                ]
                connected = "-" if all(map(lines.is_number, values)) else ""
                _series(
                    axes,
                    [place + shift for place in x],
                    mine,
                    color,
                    MARKERS[index % len(MARKERS)],
                    connected,
                )
            axes.set_xticks(list(at.values()), list(at))
            axes.tick_params(axis="x", labelrotation=45 if len("".join(at)) > 40 else 0)
            margin = max(0.3 * gap, 0.04 * (max(at.values()) - min(at.values())))
            axes.set_xlim(min(at.values()) - margin, max(at.values()) + margin)
            axes.set_xlabel("global batch size (examples)" if batch else named)
            limit_percent(axes, room_below=any(point.n_diverged for point in results.points))
        share_y(all_axes, "final validation accuracy (%)")
        entries = [
            (lines.name(hue), {"color": color, "marker": marker})
            for hue, color, marker in zip(hues, colors, cycle(MARKERS), strict=False)
        ]
        sections = [Section(label(roles.second), entries)] if roles.second else []
        add_legend(figure, sections, _divergence(results.points))
    n = lines.runs_a_point(results)
    caption = f"Final validation accuracy by {named}: mean over seeds ({n}), bars of one standard deviation."
    return Drawn(f"final_accuracy_by_{named.replace(' ', '_')}", caption, figure, len(hues))


def _series(
    axes: Axes, x: Sequence[float], points: Sequence[Point], color: str, marker: str, connected: str
) -> None:
    there = [(place, point.accuracy) for place, point in zip(x, points, strict=True) if point.accuracy.n]
    axes.errorbar(
        [place for place, _ in there],
        [100 * summary.mean for _, summary in there if summary.mean is not None],
        yerr=[100 * (summary.std or 0.0) for _, summary in there],
        color=color,
        marker=marker,
        linestyle=connected,
        capsize=2.5,
        elinewidth=1,
    )
    for place, point in zip(x, points, strict=True):
        if point.n_diverged:
            look: dict[str, Any] = _SOME if point.accuracy.n else _ALL
            # x in data, y as a fraction of the panel's height
            axes.plot(
                place, 0.04, color=color, transform=axes.get_xaxis_transform(), linestyle="none", **look
            )


def _divergence(points: Sequence[Point]) -> list[tuple[str, dict[str, Any]]]:
    entries = []
    if any(point.n_diverged and not point.accuracy.n for point in points):
        entries.append(("all diverged", {**_ALL, "color": INK, "linestyle": "none"}))
    if any(point.n_diverged and point.accuracy.n for point in points):
        entries.append(("some diverged", {**_SOME, "color": INK, "linestyle": "none"}))
    return entries


def _final_accuracies(results: Results) -> list[Drawn]:
    main = lines.roles(results).main
    further = [axis for axis in lines.numeric_axes(results) if axis != main]
    made = (final_accuracy_by(results, axis) for axis in (main, *further))
    return [drawn for drawn in made if drawn is not None]


KINDS = {
    "final_accuracy_by": Kind(
        _final_accuracies,
        "final validation accuracy by batch size and other numeric axes",
        usual=True,
    ),
}
