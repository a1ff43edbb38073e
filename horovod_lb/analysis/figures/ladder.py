"""The ladder of optimizations: a bar a step, in the order of the study, as top-1 or top-5 accuracy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple

from horovod_lb.analysis.choice import choose
from horovod_lb.analysis.figures import lines
from horovod_lb.analysis.figures.choices import chosen
from horovod_lb.analysis.figures.drawn import Drawn, Kind
from horovod_lb.analysis.figures.finals import INTERVAL, counts, finals
from horovod_lb.analysis.figures.panels import add_legend, panels
from horovod_lb.analysis.figures.style import INK, palette, styled
from horovod_lb.analysis.points import BATCH_AXES, Point, distinguishing
from horovod_lb.analysis.published import published
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.statistics import Summary, summarize
from horovod_lb.analysis.table import sort_key

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABEL = "label"
_ROW = 0.3  # inches
_NARROW = 0.25
_TARGET: dict[str, Any] = {"color": INK, "linewidth": 0.9, "linestyle": (0, (5, 2))}
_PUBLISHED: dict[str, Any] = {"color": INK, "marker": "D", "markersize": 3.6, "linestyle": "none",
                              "markerfacecolor": "none"}  # fmt: skip


class Step(NamedTuple):
    """A step of the ladder: its name, the best of its points, how many there are, and a published value."""

    name: str
    point: Point | None
    tried: int
    n_diverged: int
    published: float | None


def ladder(results: Results, column: str = "val_accuracy") -> Drawn | None:
    """Final `val_accuracy` or `val_top5` of each step, a panel a value of the axes that are not tuned.

    Steps are the values of the axis `label`, else of the first axis that is not of numbers, by the numbers
    they begin with, else in the order of the study file. Of points that differ in tuned axes alone the best
    one counts, as in `best.csv`.
    Accuracies that lie close together are dots on an axis that does not begin at 0. None where there is no
    such axis or no run has a value.
    """
    axis = step_axis(results)
    if axis is None or not any(finals(point, column) for point in results.points):
        return None
    by_panel = _panels(results, axis, column)
    names = [fill(step.name, 26 if chosen().width == "page" else 18) for step in by_panel[0][1]]
    tall = sum(max(_ROW, 0.08 + 0.13 * (name.count("\n") + 1)) for name in names)
    summaries = {
        id(step.point): summarize([100 * value for value in finals(step.point, column)])
        for _, steps in by_panel
        for step in steps
        if step.point is not None
    }
    target = results.source.target.get(column)
    with styled():
        beside = 0.15 + 0.06 * max(len(line) for name in names for line in name.split("\n"))
        columns = 1 if chosen().width == "column" or len(by_panel) == 1 else 2
        width = min(3.4, (chosen().inches - beside) / columns)
        figure, all_axes = panels(
            [title for title, _ in by_panel],
            width=width,
            height=tall + 0.6,
            beside=beside,
            columns=columns,
        )
        (color,) = palette(1)
        bars = _spread_out([one.mean for one in summaries.values() if one.mean is not None])
        for index, (axes, (_, steps)) in enumerate(zip(all_axes, by_panel, strict=True)):
            _steps(axes, steps, summaries, color, bars)
            if target is not None:
                axes.axvline(100 * target, zorder=0, **_TARGET)
            axes.set_yticks(range(len(names)), names if index % columns == 0 else [""] * len(names))
            axes.set_ylim(len(names) - 0.4, -0.6)
            axes.set_xlabel(f"{_WORDS[column]} accuracy (%)")
        _limit(all_axes, bars)
        add_legend(figure, [], _entries(by_panel, target))
    n = counts([one.n for one in summaries.values()])
    best = (
        ", each the best of its points"
        if any(step.tried > 1 for _, steps in by_panel for step in steps)
        else ""
    )
    caption = (
        f"Final validation {_WORDS[column]} accuracy step by step{best}: means over seeds "
        f"({n}, in brackets), {INTERVAL}."
    )
    return Drawn("ladder" if column == "val_accuracy" else "ladder_top5", caption, figure, 1)


_WORDS = {"val_accuracy": "top-1", "val_top5": "top-5"}


def step_axis(results: Results) -> str | None:
    """The axis whose values are the steps."""
    if LABEL in results.axes:
        return LABEL
    numeric = (*lines.numeric_axes(results), *BATCH_AXES)
    return next(
        (axis for axis in results.axes if axis not in numeric and len(lines.values_of(results, axis)) > 1),
        None,
    )


def _panels(results: Results, axis: str, column: str) -> list[tuple[str, list[Step]]]:
    """The steps of each panel with its title."""
    tuned = results.source.tuned
    if tuned is None:
        tuned = tuple(one for one in lines.numeric_axes(results) if one not in BATCH_AXES)
    named = [point.named(results.axes) for point in results.points]
    others = sorted((one for one in results.axes if one != axis and one not in tuned), key=_batch_first)
    apart = [one for one in distinguishing(named, [axis, *others]) if one != axis]
    order = _order(results, axis)
    return [
        (title, [_step(results, axis, value, points, column) for value in order])
        for title, points in lines.by_panel(results, apart)
    ]


def _batch_first(axis: str) -> bool:
    return axis not in BATCH_AXES


def _order(results: Results, axis: str) -> list[Any]:
    """The values on an axis: by the numbers they begin with, else in the order of the study file's runs, else
    by letter.
    """
    values = lines.values_of(results, axis)
    numbers = [re.match(r"\d+", lines.name(value)) for value in values]
    found = [int(number[0]) for number in numbers if number]
    if len(found) == len(values):
        return [values[index] for index in sorted(range(len(values)), key=found.__getitem__)]
    if results.source.study_file is None:
        return values
    there = {sort_key([value]) for value in values}
    in_file = {sort_key([run.value(axis)]): run.value(axis) for run in results.source.records if run.spec}
    return [value for key, value in in_file.items() if key in there]


def _step(results: Results, axis: str, value: Any, points: Sequence[Point], column: str) -> Step:
    mine = [
        point for point in points if sort_key([lines.value_at(results, point, axis)]) == sort_key([value])
    ]
    return Step(
        lines.name(value),
        choose(mine),
        len(mine),
        sum(point.n_diverged for point in mine),
        _published(results, axis, value, mine, column),
    )


def _published(results: Results, axis: str, value: Any, points: Sequence[Point], column: str) -> float | None:
    """The published value of a step, where its row has the step's name and its batch size."""
    found = published(results.source.published) if results.source.published else None
    sizes = {lines.batch_size(point) for point in points}
    for row in found.rows if found else ():
        same = lines.name(row.get(axis)) == lines.name(value) and row.get("batch_size", None) in {
            None,
            *sizes,
        }
        if same and isinstance(row.get(f"final_{column}"), int | float):
            return float(row[f"final_{column}"])
    return None


def _spread_out(means: Sequence[float]) -> bool:
    """Whether bars from 0 tell the means apart."""
    return not means or max(means) - min(means) >= _NARROW * max(means)


def _steps(axes: Axes, steps: Sequence[Step], summaries: dict[int, Summary], color: str, bars: bool) -> None:
    for row, step in enumerate(steps):
        if step.published is not None:
            axes.plot(100 * step.published, row, zorder=4, **_PUBLISHED)
        summary = summaries.get(id(step.point), summarize([]))
        if summary.mean is None:
            text = f"diverged ({step.n_diverged}×)" if step.n_diverged else "no result yet"
            # x as a fraction of the panel's width, y in data
            axes.text(
                0.02 if step.published is None else 0.06,
                row,
                text,
                va="center",
                transform=axes.get_yaxis_transform(),
                fontsize=7,
            )
            continue
        half = 0.0 if summary.high is None else summary.high - summary.mean
        if bars:
            axes.barh(row, summary.mean, height=0.62, color=color)
        axes.errorbar(
            summary.mean,
            row,
            xerr=half,
            color=INK if bars else color,
            marker="" if bars else "o",
            capsize=2,
            elinewidth=0.9,
        )
        crosses = f"; {step.n_diverged}×" if step.n_diverged and step.tried == 1 else ""
        axes.annotate(
            f"{summary.mean:.2f} ({summary.n}{crosses})",
            (summary.high or summary.mean, row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _limit(panels: Sequence[Axes], bars: bool) -> None:
    """One scale for all panels, with room for the numbers behind the bars."""
    low = 0.0 if bars else min(axes.get_xlim()[0] for axes in panels)
    high = max(axes.get_xlim()[1] for axes in panels)
    for axes in panels:
        axes.set_xlim(low, low + 1.28 * (high - low))
        axes.set_xticks([tick for tick in axes.get_xticks() if low <= tick <= min(high, 100)])


def _entries(
    by_panel: Sequence[tuple[str, Sequence[Step]]], target: float | None
) -> list[tuple[str, dict[str, Any]]]:
    steps = [step for _, found in by_panel for step in found]
    entries = [] if target is None else [("target", _TARGET)]
    if any(step.published is not None for step in steps):
        entries.append(("published", _PUBLISHED))
    if any(step.n_diverged and step.tried == 1 for step in steps):
        entries.append(("1×: one run diverged", {"linestyle": "none"}))
    return entries


def _ladders(results: Results) -> Iterator[Drawn]:
    made = (ladder(results, column) for column in ("val_accuracy", "val_top5"))
    return (drawn for drawn in made if drawn is not None)


KINDS = {
    "ladder": Kind(_ladders, "top-1 and top-5 accuracy step by step (axis `label`, else names), as bars")
}
