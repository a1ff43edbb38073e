"""The learning rate of every update, from the recipe itself: for a study that has not run yet, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from horovod_lb.analysis.figures import lines
from horovod_lb.analysis.figures.drawn import Drawn, Kind
from horovod_lb.analysis.figures.layout import Layout, lay_out
from horovod_lb.analysis.figures.panels import add_legend, label_x, legend_size, panels, share_y
from horovod_lb.analysis.figures.style import INK, styled
from horovod_lb.analysis.planned import plan_key, plan_of
from horovod_lb.analysis.points import Point
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.table import sort_key

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

MOST_PANELS = 12
_VERTICES = 1000
_MOST_BOUNDARIES = 8
_MOST_SHAPES = 4
_PEAK: dict[str, Any] = {"marker": "o", "markersize": 3.5, "linestyle": "none"}


class Planned(NamedTuple):
    """What a recipe plans: the rate before each update, updates an epoch, and updates of the warmup; `key` is
    the same for the same rates.
    """

    rates: NDArray[np.float64]
    pace: float
    warmup_steps: float
    key: str


def learning_rate_by_step(results: Results) -> list[Drawn]:
    """The planned rates of the points of a study; axes that do not change the rate are left out."""
    plans = planned_rates(results.points)
    points = [point for point in results.points if id(point) in plans]
    if not points:
        return []
    axes = _telling_axes(results, points, plans)
    first: dict[Any, Point] = {}
    for point in points:
        named = point.named(results.axes)
        first.setdefault(sort_key(named[axis] for axis in axes), point)
    shapes = [axis for axis in axes if _is_shape(results, axis)]
    layout = lay_out(results, list(first.values()), axes=axes, panels_for=shapes)
    all_panels = layout.panels()
    shown = all_panels[:MOST_PANELS]
    even = len({plans[id(point)].pace for point in points}) == 1
    sections = layout.sections()
    warm = any(plans[id(point)].warmup_steps for point in points)
    further = [("end of warmup", {**_PEAK, "color": INK})] if warm else []
    with styled():
        figure, all_axes = panels(
            [title for title, _ in shown],
            width=3.5,
            height=2.4,
            beside=legend_size(sections, further).width,
        )
        for one, (_, mine) in zip(all_axes, shown, strict=True):
            _fill(one, mine, layout, plans, by_update=even)
        share_y(all_axes, "learning rate")
        label_x(all_axes, "update" if even else "epoch")
        add_legend(figure, sections, further)
    pace = plans[id(points[0])].pace
    unit = (
        f"an epoch is {pace:g} updates" if even else "the number of updates in an epoch depends on the batch"
    )
    caption = f"Learning rate before each update, as the recipe plans it (n = 1 recipe a curve; {unit})."
    if warm:
        caption += " A dot and a dotted line mark the end of the warmup."
    if len(all_panels) > len(shown):
        caption += f" Panels 1 to {len(shown)} of {len(all_panels)}; --where chooses others."
    return [Drawn("learning_rate_by_step", caption, figure, len(layout.hues))]


def planned_rates(points: Sequence[Point]) -> dict[int, Planned]:
    """The plans of the points by `id`; points whose recipe is not known or not understood have none."""
    made: dict[str, Planned | None] = {}
    found = {}
    for point in points:
        spec = point.runs[0].spec
        key = plan_key(spec)
        if key not in made:
            made[key] = _plan(spec)
        if (plan := made[key]) is not None:
            found[id(point)] = plan
    return found


def _plan(spec: Mapping[str, Any]) -> Planned | None:
    plan = plan_of(spec)
    if plan is None:
        return None
    resolved, rates = plan
    pace = float(resolved.timeline.pace)
    return Planned(rates, pace, resolved.rate.warmup_steps, f"{pace!r} {sha256(rates.tobytes()).hexdigest()}")


def _telling_axes(results: Results, points: Sequence[Point], plans: Mapping[int, Planned]) -> tuple[str, ...]:
    """The axes that are needed to tell different rates apart; the batch size is kept longest."""
    kept = lines.axes(results)
    for axis in reversed(lines.axes(results)):
        others = [other for other in kept if other != axis]
        seen: dict[Any, set[str]] = {}
        for point in points:
            named = point.named(results.axes)
            key = sort_key(named[other] for other in others)
            seen.setdefault(key, set()).add(plans[id(point)].key)
        if all(len(keys) == 1 for keys in seen.values()):
            kept = others
    return tuple(sorted(kept, key=lambda axis: not _is_shape(results, axis)))


def _is_shape(results: Results, axis: str) -> bool:
    """Whether an axis has several values that are no numbers: schedules of many shapes, say, which would hide
    each other in one panel.
    """
    values = lines.values_of(results, axis)
    return len(values) > _MOST_SHAPES and not all(map(lines.is_number, values))


def _fill(
    axes: Axes, points: Sequence[Point], layout: Layout, plans: Mapping[int, Planned], *, by_update: bool
) -> None:
    boundaries = set()
    for point in points:
        plan = plans[id(point)]
        unit = 1.0 if by_update else plan.pace
        look = layout.look(point)
        kept = _vertices(plan.rates)
        axes.plot(kept / unit, plan.rates[kept], **look)
        end = -int(-plan.warmup_steps // 1)
        if 0 < end < len(plan.rates):
            axes.plot(end / unit, plan.rates[end], color=look["color"], **_PEAK)
            boundaries.add(plan.warmup_steps / unit)
    for place in sorted(boundaries) if len(boundaries) <= _MOST_BOUNDARIES else ():
        axes.axvline(place, color=INK, linewidth=0.6, linestyle=(0, (1, 2)), zorder=0)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]) if axes.get_ylim()[0] < 0 else 0.0)


def _vertices(rates: NDArray[np.float64]) -> NDArray[np.int64]:
    """The steps whose rates make the curve as the eye sees it: of each of 1000 stretches the first step, the
    lowest and the highest rate.
    """
    import numpy as np

    total = len(rates)
    if total <= 3 * _VERTICES:
        return np.arange(total)
    starts = np.linspace(0, total, _VERTICES, endpoint=False).astype(int)
    stretches = zip(starts, [*starts[1:], total], strict=True)
    chosen = {total - 1}
    for start, end in stretches:
        part = rates[start:end]
        chosen |= {int(start), int(start + part.argmin()), int(start + part.argmax())}
    return np.array(sorted(chosen))


KINDS = {
    "learning_rate_by_step": Kind(
        learning_rate_by_step,
        "learning rate of every update, from the recipe; needs no runs",
        ask="a study file or run folders (tables do not hold the recipe)",
    ),
}
