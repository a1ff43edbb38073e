"""Accuracy against its price: hours of a run, and which points nothing beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple

from horovod_lb.analysis.figures import lines
from horovod_lb.analysis.figures.along import COLUMN, PANEL, axis_name
from horovod_lb.analysis.figures.drawn import Drawn, Kind
from horovod_lb.analysis.figures.finals import INTERVAL, counts, finals
from horovod_lb.analysis.figures.panels import Section, add_legend, legend_size, panels
from horovod_lb.analysis.figures.style import INK, MARKERS, palette, styled
from horovod_lb.analysis.figures.ticks import set_even, set_log
from horovod_lb.analysis.points import Point
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.statistics import Summary, summarize
from horovod_lb.runs import State

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FRONT: dict[str, Any] = {"color": INK, "linewidth": 0.9, "linestyle": (0, (5, 2))}


class Priced(NamedTuple):
    """A point with its hours and its final validation accuracy in percent, means over its converged runs."""

    point: Point
    hours: float
    accuracy: Summary


def accuracy_by_node_hours(results: Results) -> Drawn | None:
    """Final validation accuracy by node-hours a run (wall hours where nodes are not known), a mark a point,
    and the front of the points that none beats in both. None where fewer than two points have both.
    """
    priced, unit = _priced(results)
    if len(priced) < 2:
        return None
    main = lines.roles(results).main
    values = lines.values_of(results, main)
    colors = palette(len(values))
    entries = [
        (lines.name(value), {"color": color, "marker": marker, "linestyle": "none"})
        for value, color, marker in zip(values, colors, cycle(MARKERS), strict=False)
    ]
    sections = [Section(axis_name(main), entries)] if main else []
    further = [("not beaten in both", _FRONT)]
    beside, tall = legend_size(sections, further)
    with styled():
        figure, (axes,) = panels(
            [""], width=PANEL if beside else COLUMN, height=max(2.4, tall), beside=beside
        )
        for value, color, marker in zip(values, colors, cycle(MARKERS), strict=False):
            mine = [one for one in priced if lines.value_at(results, one.point, main) == value]
            axes.errorbar(
                [one.hours for one in mine],
                [one.accuracy.mean or 0.0 for one in mine],
                yerr=[_half(one.accuracy) for one in mine],
                color=color,
                marker=marker,
                linestyle="none",
                elinewidth=0.9,
            )
        front = pareto([(one.hours, one.accuracy.mean or 0.0) for one in priced])
        axes.step([x for x, _ in front], [y for _, y in front], where="post", zorder=1, **_FRONT)
        _limit(axes, priced)
        axes.set_xlabel(f"{unit} a run")
        axes.set_ylabel("final validation accuracy (%)")
        add_legend(figure, sections, further)
    n = counts([one.accuracy.n for one in priced])
    caption = (
        f"Final validation accuracy by {unit} a run: means over seeds ({n}), {INTERVAL} of the accuracy; the "
        "line joins the points that no other beats in both."
    )
    return Drawn("accuracy_by_node_hours", caption, figure, len(values))


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of (cost, gain) those that no other beats: a higher gain at each higher cost."""
    front: list[tuple[float, float]] = []
    for cost, gain in sorted(points, key=lambda one: (one[0], -one[1])):
        if not front or gain > front[-1][1]:
            front.append((cost, gain))
    return front


def _priced(results: Results) -> tuple[list[Priced], str]:
    """The points that have an accuracy and hours, and the unit of the hours."""
    rows = {id(run): row for run, row in zip(results.records, results.tables["runs"].rows, strict=True)}
    for column, per_hour, unit in (("node_hours", 1.0, "node-hours"), ("wall_seconds", 3600.0, "hours")):
        found = []
        for point in results.points:
            cells = [rows[id(run)].get(column) for run in point.runs if run.state is State.COMPLETED]
            hours = [float(cell) for cell in cells if cell is not None]
            accuracy = summarize([100 * value for value in finals(point)])
            if hours and accuracy.n:
                found.append(Priced(point, sum(hours) / len(hours) / per_hour, accuracy))
        if found:
            return found, unit
    return [], ""


def _half(summary: Summary) -> float:
    return 0.0 if summary.high is None or summary.mean is None else summary.high - summary.mean


def _limit(axes: Axes, priced: Sequence[Priced]) -> None:
    """Hours by their logarithm where they span a factor of ten; accuracies as `along` limits them."""
    hours = [one.hours for one in priced]
    if min(hours) > 0 and max(hours) >= 10 * min(hours):
        set_log(axes, "x")
        axes.set_xlim(min(hours) / 1.2, max(hours) * 1.2)
    learned = [one for one in priced if not one.point.count("chance")] or list(priced)
    means = [one.accuracy.mean or 0.0 for one in learned]
    low, high = min(means), max(means)
    air = 0.12 * (high - low) or 0.5
    axes.set_ylim(low - air, min(high + air, 100.5))
    set_even(axes)


def _all(results: Results) -> list[Drawn]:
    drawn = accuracy_by_node_hours(results)
    return [] if drawn is None else [drawn]


KINDS = {
    "accuracy_by_node_hours": Kind(_all, "accuracy by node-hours a run, with the points that nothing beats")
}
