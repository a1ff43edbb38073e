"""Distance from the initial weights by updates: against log t and against √t, in each of which one of the two
laws of diffusion is a straight line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from horovod_lb.analysis.figures import lines
from horovod_lb.analysis.figures.choices import chosen
from horovod_lb.analysis.figures.drawn import Drawn, Kind
from horovod_lb.analysis.figures.layout import Layout, lay_out
from horovod_lb.analysis.figures.panels import (
    Section,
    across,
    add_legend,
    legend_size,
    panels,
    share_y,
    tidy_log,
)
from horovod_lb.analysis.figures.style import INK, styled
from horovod_lb.analysis.points import Point
from horovod_lb.analysis.results import Results

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

COLUMN = "distance"
MOST_PANELS = {"page": 6, "column": 3}
_VERTICES = 400
_LEAST = 3
_MOST_R2 = 8
_FIT: dict[str, Any] = {"linewidth": 0.9, "linestyle": (0, (1, 1.2))}


class Line(NamedTuple):
    """y ≈ `intercept` + `slope` · x by least squares, and R²."""

    intercept: float
    slope: float
    r_squared: float


class _Curve(NamedTuple):
    """A point's distances: `t` updates, their mean over seeds, and the band."""

    point: Point
    t: NDArray[np.float64]
    mean: NDArray[np.float64]
    band: lines.Band
    log: Line | None
    root: Line | None


def straight(x: NDArray[np.float64], y: NDArray[np.float64]) -> Line | None:
    """The least-squares line through points; None for fewer than three, or where x does not vary."""
    import numpy as np

    if len(x) < _LEAST or not np.ptp(x) > 0:
        return None
    dx, dy = x - x.mean(), y - y.mean()
    slope = float(dx @ dy / (dx @ dx))
    whole = float(dy @ dy)
    rest = float(np.square(dy - slope * dx).sum())
    return Line(float(y.mean() - slope * x.mean()), slope, 1.0 if whole == 0 else 1 - rest / whole)


def distance_by_step(results: Results) -> list[Drawn]:
    """The mean distance over seeds of each point with both fits, dotted."""
    curves = [curve for point in results.points if (curve := _curve(point))]
    if not curves:
        return []
    layout = lay_out(results, [curve.point for curve in curves], batch_first=True)
    by_point = {id(curve.point): curve for curve in curves}
    all_panels = layout.panels()
    shown = all_panels[: MOST_PANELS[chosen().width]]
    sections = _sections(layout, by_point)
    further = [("least-squares line", {**_FIT, "color": INK})]
    titles = [title for panel, _ in shown for title in (panel, panel)]
    with styled():
        figure, all_axes = panels(
            titles, width=3.5, height=2.5, columns=across(2), beside=legend_size(sections, further).width
        )
        for index, one in enumerate(all_axes):
            mine = [by_point[id(point)] for point in shown[index // 2][1]]
            _fill(one, mine, layout, rooted=bool(index % 2))
        share_y(all_axes, "distance ‖w − w₀‖")
        for index, one in enumerate(all_axes):
            one.set_xlabel("update t (scale √t)" if index % 2 else "update t (logarithmic scale)")
        add_legend(figure, sections, further)
    counts = sorted({curve.band.runs for curve in curves})
    n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    caption = (
        f"Euclidean distance from the initial weights by updates t: mean over seeds ({n}), band from the "
        f"lowest to the highest seed. Dotted: least-squares lines a + b·log t, R² {_range(curves, 'log')}, "
        f"and a + b·√t, R² {_range(curves, 'root')}; where the distance follows a law, it is straight."
    )
    if len(all_panels) > len(shown):
        caption += f" Points 1 to {len(shown)} of {len(all_panels)}; --where chooses others."
    return [Drawn("distance_by_step", caption, figure, len(layout.hues))]


def _curve(point: Point) -> _Curve | None:
    import numpy as np

    band = lines.band(point, COLUMN, by_step=True)
    if band is None or not any(step > 0 for step in band.epochs):
        return None
    t, mean = np.array(band.epochs, float), np.array(band.mean)
    t, mean = t[t > 0], mean[t > 0]
    return _Curve(point, t, mean, band, straight(np.log(t), mean), straight(np.sqrt(t), mean))


def _fill(axes: Axes, curves: Sequence[_Curve], layout: Layout, *, rooted: bool) -> None:
    import numpy as np

    if rooted:
        axes.set_xscale("function", functions=(lambda t: np.sqrt(np.maximum(t, 0)), np.square))
    else:
        axes.set_xscale("log")
    for curve in curves:
        look = layout.look(curve.point)
        kept = _vertices(curve.t)
        few = len(kept) <= 12
        axes.plot(curve.t[kept], curve.mean[kept], marker="o" if few else None, markersize=2.5, **look)
        if curve.band.runs > 1 and len(curve.t) > 1:
            skipped = len(curve.band.epochs) - len(curve.t)
            low, high = (np.array(side)[skipped:][kept] for side in (curve.band.low, curve.band.high))
            axes.fill_between(curve.t[kept], low, high, color=look["color"], alpha=0.15, linewidth=0)
        line = curve.root if rooted else curve.log
        if line:
            along = np.geomspace(curve.t[0], curve.t[-1], 100)
            fitted = line.intercept + line.slope * (np.sqrt(along) if rooted else np.log(along))
            axes.plot(along, fitted, color=look["color"], **_FIT)
    if rooted:
        from matplotlib.ticker import FixedLocator

        last = max(curve.t[-1] for curve in curves)
        axes.xaxis.set_major_locator(FixedLocator(_round_squares(last)))
        axes.set_xlim(0, last * 1.03)
    else:
        tidy_log(axes, "x")
    axes.set_ylim(bottom=0)


def _round_squares(last: float) -> list[float]:
    """Ticks at 1, 2 and 5 times powers of ten, a fifth of the axis or more apart along √t."""
    exponents = range(int(math.log10(last)) + 1)
    found: list[float] = []
    for value in sorted((digit * 10.0**power for power in exponents for digit in (1, 2, 5)), reverse=True):
        place = math.sqrt(value / last)
        if value <= last and place > 0.2 and all(math.sqrt(one / last) - place > 0.2 for one in found):
            found.append(value)
    return [0.0, *reversed(found)]


def _vertices(t: NDArray[np.float64]) -> NDArray[np.int64]:
    """Of many updates those that both scales need."""
    import numpy as np

    if len(t) <= 2 * _VERTICES:
        return np.arange(len(t))
    even = np.linspace(0, len(t) - 1, _VERTICES).round().astype(int)
    early = np.geomspace(1, len(t), _VERTICES).round().astype(int) - 1
    return np.union1d(even, early)


def _sections(layout: Layout, curves: dict[int, _Curve]) -> list[Section]:
    """The legend, with the fits' R² where there is one curve a colour and few of them."""
    sections = layout.sections()
    if layout.color is None or len(layout.points) != len(layout.hues) or len(layout.hues) > _MOST_R2:
        return sections
    axis = layout.axes.index(layout.color)
    fits = {lines.name(point.values[axis]): curves[id(point)] for point in layout.points}
    entries = [
        (f"{name} (R² {_r2(fits[name].log)}; {_r2(fits[name].root)})", look)
        for name, look in sections[0].entries
    ]
    return [Section(f"{sections[0].title} (log t; √t)", entries)]


def _r2(line: Line | None) -> str:
    return "none" if line is None else f"{line.r_squared:.3f}"


def _range(curves: Sequence[_Curve], law: str) -> str:
    found = sorted(line.r_squared for curve in curves if (line := getattr(curve, law)))
    if not found:
        return "not defined"
    low, high = f"{found[0]:.3f}", f"{found[-1]:.3f}"
    return low if low == high else f"{low} to {high}"


KINDS = {
    "distance_by_step": Kind(
        distance_by_step,
        "distance from the initial weights by updates, with log t and √t fits",
        columns=(COLUMN,),
        ask="measure: [{kind: distance, by_step: true}]",
    ),
}
