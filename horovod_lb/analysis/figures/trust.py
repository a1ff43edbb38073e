"""Trust ratios of layer-wise optimizers: by layer, update and point."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.figures import lines
from horovod_lb.analysis.figures.drawn import Drawn, Kind
from horovod_lb.analysis.figures.panels import (
    Section,
    add_legend,
    label_x,
    legend_size,
    panels,
    share_y,
    tidy_log,
)
from horovod_lb.analysis.figures.style import LINE_STYLES, palette, styled
from horovod_lb.analysis.points import Point
from horovod_lb.analysis.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_PANELS = 12
_MOST_ENTRIES = 24
_PLAIN = 7
_VERTICES = 300
_HEAD = "trust_ratio["


def trust_ratios(results: Results) -> list[Drawn]:
    """A panel a point, a curve a layer from the first to the last, over updates."""
    layers = layers_of(results)
    bands = {
        (id(point), layer): band
        for point in results.points
        for layer in layers
        if (band := lines.band(point, f"{_HEAD}{layer}]", by_step=True))
    }
    points = [point for point in results.points if any((id(point), layer) in bands for layer in layers)]
    if not points:
        return []
    shown = points[:MOST_PANELS]
    colors = palette(len(layers))
    styles = [LINE_STYLES[index % 4 if len(layers) > _PLAIN else 0] for index in range(len(layers))]
    sections = [_section(layers, colors, styles)]
    with styled():
        figure, all_axes = panels(
            [_title(results, point) for point in shown],
            width=3.5,
            height=2.5,
            beside=legend_size(sections, []).width,
        )
        for axes, point in zip(all_axes, shown, strict=True):
            axes.set_yscale("log")
            for layer, color, style in zip(layers, colors, styles, strict=True):
                if found := bands.get((id(point), layer)):
                    _curve(axes, found, color, style)
        share_y(all_axes, "trust ratio")
        for axes in all_axes:
            tidy_log(axes)
        label_x(all_axes, "update")
        add_legend(figure, sections, [])
    counts = sorted({band.runs for band in bands.values()})
    n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    caption = f"Trust ratios of {len(layers)} layers by updates: mean over seeds ({n})."
    if len(points) > len(shown):
        caption += f" Points 1 to {len(shown)} of {len(points)}; --where chooses others."
    return [Drawn("trust_ratios", caption, figure, len(layers))]


def layers_of(results: Results) -> list[str]:
    """The adapted variables that runs have a trust ratio of, in the order in which they wrote them."""
    names = {
        name: None
        for run in results.records
        for rows in (run.epochs[:1], run.steps[:1])
        for row in rows
        for name in row
        if name.startswith(_HEAD) and name.endswith("]")
    }
    return [name[len(_HEAD) : -1] for name in names]


def _curve(axes: Axes, band: lines.Band, color: str, style: Any) -> None:
    pairs = [(t, value) for t, value in zip(band.epochs, band.mean, strict=True) if value > 0]
    step = max(1, len(pairs) // _VERTICES)
    kept = pairs[::step] if step == 1 else [*pairs[::step], pairs[-1]]
    axes.plot(
        [t for t, _ in kept],
        [value for _, value in kept],
        color=color,
        linestyle=style,
        marker="o" if len(kept) <= 12 else None,
        markersize=2.5,
    )


def _section(layers: Sequence[str], colors: Sequence[str], styles: Sequence[Any]) -> Section:
    """The layers without what their names have in common; of many, every so-manieth."""
    parts = [layer.split("/")[:-1] for layer in layers]
    shared = sum(1 for names in takewhile(lambda names: len(set(names)) == 1, zip(*parts, strict=False)))
    entries = [
        ("/".join(layer.split("/")[shared:]), {"color": color, "linestyle": style})
        for layer, color, style in zip(layers, colors, styles, strict=True)
    ]
    if len(entries) <= _MOST_ENTRIES:
        return Section("layer", entries)
    last = len(entries) - 1
    kept = sorted({round(index * last / (_MOST_ENTRIES // 2 - 1)) for index in range(_MOST_ENTRIES // 2)})
    return Section(f"layer ({len(kept)} of {len(entries)})", [entries[index] for index in kept])


def _title(results: Results, point: Point) -> str:
    named = point.named(results.axes)
    axes = lines.axes(results)
    return lines.title(axes, [named[axis] for axis in axes])


KINDS = {
    "trust_ratios": Kind(
        trust_ratios,
        "trust ratios (lars, lamb, layerwise) of each layer by updates, a panel a point",
        ask="measure: [{kind: trust_ratios, by_step: true}]",
    ),
}
