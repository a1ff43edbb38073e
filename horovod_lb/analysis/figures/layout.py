"""Which axis of a study a figure tells by colour, which by line style, and which by a panel each."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from horovod_lb.analysis.figures import lines
from horovod_lb.analysis.figures.choices import chosen
from horovod_lb.analysis.figures.panels import Section
from horovod_lb.analysis.figures.style import INK, LINE_STYLES, palette
from horovod_lb.analysis.points import BATCH_AXES, Point, distinguishing
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.table import sort_key
from horovod_lb.analysis.wide import label
from horovod_lb.errors import RequestError

_MOST_NAMES = 16
_MOST_NUMBERS = 40
_MOST_STYLED = 6
_PLAIN_COLORS = 7


@dataclass(frozen=True)
class Layout:
    """The points of a figure and how to tell them apart: `hues` are the values told by colour, `dashes`
    those told by line style; panels tell the rest.
    """

    axes: tuple[str, ...]
    points: tuple[Point, ...]
    color: str | None
    style: str | None
    panel_axes: tuple[str, ...]
    hues: tuple[Any, ...]
    dashes: tuple[Any, ...]
    styles_taken: bool

    @property
    def colors(self) -> list[str]:
        """A colour for each of `hues`."""
        return palette(len(self.hues))

    def look(self, point: Point) -> dict[str, Any]:
        """Colour and line style of a point's curve."""
        named = point.named(self.axes)
        hue = _index(self.hues, named[self.color]) if self.color else 0
        dash = _index(self.dashes, named[self.style]) if self.style else self._dash(hue)
        return {"color": self.colors[hue], "linestyle": LINE_STYLES[dash]}

    def sections(self) -> list[Section]:
        """The parts of the legend."""
        found = []
        if self.color:
            looks = [
                {"color": color, "linestyle": LINE_STYLES[self._dash(index) if not self.style else 0]}
                for index, color in enumerate(self.colors)
            ]
            found.append(
                Section(label(self.color), list(zip(map(lines.name, self.hues), looks, strict=True)))
            )
        if self.style:
            looks = [{"color": INK, "linestyle": style} for style in LINE_STYLES[: len(self.dashes)]]
            found.append(
                Section(label(self.style), list(zip(map(lines.name, self.dashes), looks, strict=True)))
            )
        return found

    def panels(self) -> list[tuple[str, list[Point]]]:
        """The title and the points of each panel, in order."""
        found: dict[Any, tuple[str, list[Point]]] = {}
        for point in self.points:
            named = point.named(self.axes)
            values = [named[axis] for axis in self.panel_axes]
            found.setdefault(sort_key(values), (lines.title(self.panel_axes, values), []))[1].append(point)
        return [found[key] for key in sorted(found)]

    def _dash(self, hue: int) -> int:
        """Where there are more colours than one can tell apart, line styles help, unless they have another
        meaning, or the colours are so many that only their order counts.
        """
        helps = _PLAIN_COLORS < len(self.hues) <= _MOST_NAMES and not self.styles_taken
        return hue % len(LINE_STYLES) if helps else 0


def lay_out(
    results: Results,
    points: Sequence[Point],
    *,
    styles_taken: bool = False,
    batch_first: bool = False,
    axes: Sequence[str] | None = None,
    panels_for: Sequence[str] = (),
) -> Layout:
    """The layout with the fewest panels: the axis with the most values (at most 16 names or 40 numbers) is
    told by colour, and the next one by line style where that makes no more than six curves.

    `styles_taken`: line styles have another meaning; `batch_first`: the batch size is told by colour where
    the study varies it; `axes`: only these matter (None: those of the wide table); `panels_for`: axes
    that have panels where nothing else was chosen. Raises `RequestError` where a chosen axis is none of the
    study's.
    """
    wishes = chosen()
    for axis in (wishes.color, wishes.style):
        _check(axis, results.axes)
    asked = [axis for axis in (wishes.color, wishes.style) if axis]
    order = [*asked, *lines.axes(results)] if axes is None else [axis for axis in asked if axis in axes]
    used = distinguishing(
        [point.named(results.axes) for point in points], dict.fromkeys([*order, *(axes or ())])
    )
    values = {axis: _values(results, points, axis) for axis in used}
    free = [axis for axis in used if axis != wishes.style and axis not in panels_for]
    few = [axis for axis in free if len(values[axis]) <= _most_colors(values[axis])] or free
    color = max(few, key=lambda axis: len(values[axis]), default=None)
    if batch_first:
        color = next((axis for axis in few if axis in BATCH_AXES), color)
    if wishes.color in used:
        color = wishes.color
    style = None
    if not styles_taken and wishes.style in used and len(values[wishes.style or ""]) <= len(LINE_STYLES):
        style = wishes.style
    elif not styles_taken and color:
        style = next(
            (
                axis
                for axis in free
                if axis != color
                and len(values[axis]) <= len(LINE_STYLES)
                and len(values[axis]) * len(values[color]) <= _MOST_STYLED
            ),
            None,
        )
    return Layout(
        results.axes,
        tuple(points),
        color,
        style,
        tuple(axis for axis in used if axis not in (color, style)),
        tuple(values[color]) if color else (None,),
        tuple(values[style]) if style else (),
        styles_taken,
    )


def ends(results: Results, points: Sequence[Point]) -> list[Point]:
    """The points with the smallest and the largest batch size; all where the study has fewer than four."""
    axis = next((axis for axis in results.axes if axis in BATCH_AXES), None)
    if axis is None:
        return list(points)
    sizes = _values(results, points, axis)
    kept = [sizes[0], sizes[-1]] if len(sizes) > 3 else sizes
    return [point for point in points if point.named(results.axes)[axis] in kept]


def _most_colors(values: Sequence[Any]) -> int:
    """Colours of numbers are in order and need not be told apart one by one."""
    return _MOST_NUMBERS if all(map(lines.is_number, values)) else _MOST_NAMES


def _values(results: Results, points: Sequence[Point], axis: str) -> list[Any]:
    index = results.axes.index(axis)
    found = {sort_key([point.values[index]]): point.values[index] for point in points}
    return [found[key] for key in sorted(found)]


def _index(values: Sequence[Any], value: Any) -> int:
    key = sort_key([value])
    return next(index for index, other in enumerate(values) if sort_key([other]) == key)


def _check(axis: str | None, axes: Sequence[str]) -> None:
    if axis is None or axis in axes:
        return
    near = difflib.get_close_matches(axis, axes, 1, 0.4)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise RequestError(f"{axis} is no axis of the study, which has {', '.join(axes) or 'none'}{meant}")
