"""One figure of curves: its panels, their limits, its legend, and what its caption must say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from horovod_lb.analysis.figures import lines
from horovod_lb.analysis.figures.layout import Layout
from horovod_lb.analysis.figures.panels import (
    Section,
    across,
    add_legend,
    label_x,
    legend_size,
    limit_percent,
    panels,
    share_y,
    tidy_log,
)
from horovod_lb.analysis.figures.strokes import CROSS, Part, epoch_ticks, plot
from horovod_lb.analysis.figures.style import INK, LINE_STYLES, styled
from horovod_lb.analysis.points import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from horovod_lb.analysis.figures.curves import Curves

Bands: TypeAlias = Mapping[tuple[int, str], lines.Band | None]

_ZOOM_FROM = 6
_WIDE = 30  # a quantity that spans a larger factor is drawn on a logarithmic axis
_IN_SIGHT = 0.8  # of the best: curves that end lower do not set the limits of the enlarged panels
_UNEVEN = 5  # numbers of updates that differ by a larger factor are drawn on a logarithmic axis


@dataclass
class Sheet:
    """One figure of some panels."""

    curves: Curves
    layout: Layout
    panels: list[tuple[str, list[Point]]]
    bands: Bands

    def draw(self) -> Figure:
        """The figure."""
        rows: list[tuple[Part, ...]] = (
            [self.curves.parts] if self.curves.together else [(part,) for part in self.curves.parts]
        )
        zoom = self.curves.zoom and len(self.panels) <= 3 and self._last() >= _ZOOM_FROM
        cells = list(_cells(self.panels, rows, zoom))
        sections, further = self._legend()
        beside = legend_size(sections, further).width
        with styled():
            figure, axes = panels(
                [title for title, *_ in cells],
                width=3.5 if beside or not sections else 5.5,
                height=2.5 if len(rows) == 1 else 2.0,
                beside=beside,
                columns=across(2) if zoom and len(self.panels) == 1 else across(len(self.panels)),
            )
            there = [cell for cell in cells if cell[0] is not None]
            for one, (_, points, parts, _) in zip(axes, there, strict=True):
                self._fill(one, points, parts)
            for parts in rows:
                whole = [
                    one for one, cell in zip(axes, there, strict=True) if cell[2] == parts and not cell[3]
                ]
                share_y(whole, parts[0].label)
                if self._logarithmic(parts):
                    for one in whole:
                        tidy_log(one)
            for one, (_, points, parts, enlarged) in zip(axes, there, strict=True):
                if enlarged:
                    self._enlarge(one, points, parts)
                    place = one.get_subplotspec()
                    if place and place.is_first_col():
                        one.set_ylabel(parts[0].label)
                self._cross(one, points, parts)
            label_x(axes, "update" if self.curves.by_step else "epoch")
            figure.align_ylabels(axes)
            add_legend(figure, sections, further)
        return figure

    def note(self) -> str:
        """What the caption says of n, of diverged runs and of those under way."""
        mine = [point for _, points in self.panels for point in points]
        found = [self.bands[id(point), part.column] for point in mine for part in self.curves.parts]
        counts = sorted({band.runs for band in found if band}) or [0]
        n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
        text = f"mean over seeds ({n}), band from the lowest to the highest seed."
        if counts[-1] == 1:
            text = "one run a curve (n = 1)."
        if self._diverged(mine):
            text += " A cross ends a run that diverged, which is in no mean."
        if any(band and not band.finished for band in found):
            text += " Points without a finished run: as far as their runs are."
        return text

    def _fill(self, axes: Axes, points: Sequence[Point], parts: Sequence[Part]) -> None:
        logarithmic = self._logarithmic(parts)
        if logarithmic:
            axes.set_yscale("log")
        drawn = False
        for index, part in enumerate(parts):
            for point in points:
                if band := self.bands[id(point), part.column]:
                    plot(axes, band, self._x(point, band.epochs), part, self._look(point, index))
                    drawn = True
        limits = axes.get_ylim()
        for index, part in enumerate(parts):
            for point in points:
                for values in lines.diverged(point, part.column):
                    epochs = sorted(values)
                    look = {**self._look(point, index), "linewidth": 0.8}
                    axes.plot(self._x(point, epochs), [part.of(values[epoch]) for epoch in epochs], **look)
        if drawn and not parts[0].percent:  # a loss that explodes does not squeeze the others
            axes.set_ylim(limits)
        if self.curves.by_step:
            ends = [
                self._x(point, band.epochs[-1:])[0] for point in points if (band := self._band(point, parts))
            ]
            if ends and max(ends) > _UNEVEN * min(ends) > 0:
                axes.set_xscale("log")
                tidy_log(axes, "x")
        else:
            epoch_ticks(axes, self._last())
        if parts[0].percent and not logarithmic:
            limit_percent(axes)
        elif not logarithmic:
            axes.set_ylim(bottom=0)

    def _look(self, point: Point, index: int) -> dict[str, Any]:
        look = self.layout.look(point)
        return {**look, "linestyle": LINE_STYLES[index]} if self.curves.together else look

    def _cross(self, axes: Axes, points: Sequence[Point], parts: Sequence[Part]) -> None:
        """Marks where runs diverged; at the edge where the value lies beyond it."""
        low, high = axes.get_ylim()
        left, right = axes.get_xlim()
        for point in points:
            for part in parts:
                for values in lines.diverged(point, part.column):
                    (x,) = self._x(point, [max(values)])
                    if left <= x <= right:
                        y = min(max(part.of(values[max(values)]), low), high)
                        axes.plot(x, y, color=self.layout.look(point)["color"], clip_on=False, **CROSS)
        axes.set_ylim(low, high)
        axes.set_xlim(left, right)

    def _enlarge(self, axes: Axes, points: Sequence[Point], parts: Sequence[Part]) -> None:
        """Limits a panel to the second half of the epochs and to what the better curves do there."""
        first = self._last() // 2 + 1
        found = []
        for part in parts:
            for point in points:
                band = self.bands[id(point), part.column]
                late = [index for index, epoch in enumerate(band.epochs) if epoch >= first] if band else []
                if band and late:
                    found.append(
                        ([part.of(band.low[i]) for i in late] + [part.of(band.high[i]) for i in late],
                         band.mean[late[-1]])
                    )  # fmt: skip
        axes.set_xlim(first - 0.5, self._last() + 0.5)
        if not found:
            return
        best = max(mean for _, mean in found)
        values = [value for some, mean in found if mean >= _IN_SIGHT * best for value in some]
        air = 0.06 * (max(values) - min(values)) or 0.5
        axes.set_ylim(min(values) - air, max(values) + air)
        limit_percent(axes)

    def _legend(self) -> tuple[list[Section], list[tuple[str, dict[str, Any]]]]:
        sections = self.layout.sections()
        if self.curves.together:
            looks = [{"color": INK, "linestyle": style} for style in LINE_STYLES]
            words = [part.word for part in self.curves.parts]
            sections.append(Section(self.curves.told, list(zip(words, looks, strict=False))))
        crossed = self._diverged([point for _, points in self.panels for point in points])
        return sections, [("diverged", {**CROSS, "color": INK})] if crossed else []

    def _diverged(self, points: Sequence[Point]) -> bool:
        return any(lines.diverged(point, part.column) for point in points for part in self.curves.parts)

    def _logarithmic(self, parts: Sequence[Part]) -> bool:
        if parts[0].scale != "auto":
            return parts[0].scale == "log"
        found = ((part, self.bands[key, part.column]) for part in parts for key in self._keys())
        values = [part.of(value) for part, band in found if band for value in band.mean]
        return bool(values) and min(values) > 0 and max(values) > _WIDE * min(values)

    def _band(self, point: Point, parts: Sequence[Part]) -> lines.Band | None:
        return self.bands[id(point), parts[0].column]

    def _keys(self) -> list[int]:
        return [id(point) for _, points in self.panels for point in points]

    def _x(self, point: Point, epochs: Sequence[int]) -> list[float]:
        if not self.curves.by_step:
            return [float(epoch) for epoch in epochs]
        steps = {row["epoch"]: row.get("step") for run in point.runs for row in run.epochs}
        return [math.nan if (step := steps[epoch]) is None else float(step) for epoch in epochs]

    def _last(self) -> int:
        return max(
            (run.epochs[-1]["epoch"] for _, points in self.panels for point in points for run in point.runs
             if run.epochs),
            default=0,
        )  # fmt: skip


def _cells(
    all_panels: Sequence[tuple[str, list[Point]]], rows: Sequence[tuple[Part, ...]], zoom: bool
) -> Iterator[tuple[str | None, list[Point], tuple[Part, ...], bool]]:
    """Title, points, parts and whether enlarged, place by place; parts of a panel stand below each other."""
    columns = across(len(all_panels))
    for start in range(0, len(all_panels), columns):
        chunk = all_panels[start : start + columns]
        for index, parts in enumerate(rows):
            for title, points in chunk:
                yield title if index == 0 else "", points, parts, False
            for _ in range(columns - len(chunk) if start + columns < len(all_panels) or len(rows) > 1 else 0):
                yield None, [], parts, False
    if zoom:
        for title, points in all_panels:
            yield f"{title}: second half" if title else "second half", points, rows[0], True
