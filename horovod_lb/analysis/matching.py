"""Which point of one set of runs is to be compared with which point of another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from horovod_lb.analysis.points import Point
from horovod_lb.analysis.record import Record, dotted
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.table import sort_key
from horovod_lb.analysis.wide import label, value_label
from horovod_lb.errors import RequestError

_SHOWN = 5


class Match(NamedTuple):
    """Two points that are compared, or one that has no counterpart; `values` by axis."""

    values: Mapping[str, Any]
    a: Point | None
    b: Point | None


@dataclass(frozen=True)
class Matching:
    """`axes` are those of both sides without the ignored ones; `remarks` say how an axis was dealt with that
    one side alone has.
    """

    axes: tuple[str, ...]
    matches: tuple[Match, ...]
    remarks: tuple[str, ...]


def match(a: Results, b: Results, names: tuple[str, str], ignore: Sequence[str] = ()) -> Matching:
    """Points with the same values on the axes that both have.

    An axis that one side alone has is matched at the other side's fixed value where it is among the axis'
    values; otherwise every value is compared with the one point of the other side. `ignore` are axes that do
    not count. RequestError where nothing matches, or several points of either side fall together.
    """
    every = tuple(dict.fromkeys((*a.axes, *b.axes)))
    for axis in ignore:
        if axis not in every:
            raise RequestError(
                f"--ignore {axis}: no axis of {names[0]} or {names[1]}; there are: {', '.join(every)}"
            )
    axes = tuple(axis for axis in every if axis not in ignore)
    remarks: list[str] = []
    pinned: dict[str, Any] = {}
    for axis in axes:
        if axis in a.axes and axis in b.axes:
            continue
        here, there = (a, b) if axis in a.axes else (b, a)
        one, other = names if axis in a.axes else names[::-1]
        values = {sort_key([_setting(point.runs[0], axis)]) for point in here.points}
        fixed = _only([_setting(run, axis) for run in there.records if run.spec])
        if fixed is not _SEVERAL and sort_key([fixed]) in values:
            pinned[axis] = fixed
            remarks.append(f"{axis} is an axis of {one} alone, compared at {other}'s {value_label(fixed)}")
        else:
            remarks.append(f"{axis} is an axis of {one} alone; each of its values is compared with {other}")
    common = [axis for axis in axes if (axis in a.axes and axis in b.axes) or axis in pinned]
    groups: dict[Any, tuple[list[Point], list[Point]]] = {}
    for side, results in enumerate((a, b)):
        for point in results.points:
            key = sort_key(_key(point, axis, results, pinned) for axis in common)
            groups.setdefault(key, ([], []))[side].append(point)
    if not any(ours and theirs for ours, theirs in groups.values()):
        raise RequestError(_nothing(a, b, names, common, pinned))
    matches = [
        Match(_values(axes, a, ours, b, theirs), ours, theirs)
        for group in groups.values()
        for ours, theirs in _pairs(*group, names, a, b)
    ]
    matches.sort(key=lambda found: sort_key(found.values[axis] for axis in axes))
    return Matching(axes, tuple(matches), tuple(remarks))


_SEVERAL = object()


def _only(values: Iterable[Any]) -> Any:
    found = {sort_key([value]): value for value in values}
    return next(iter(found.values())) if len(found) == 1 else _SEVERAL


def _setting(run: Record, axis: str) -> Any:
    """The setting itself, where a point has a short name for it (`kind=adam`)."""
    found = dotted(run.spec, axis)
    return run.value(axis) if found is None else found


def _key(point: Point, axis: str, results: Results, pinned: Mapping[str, Any]) -> Any:
    if axis in pinned:
        return _setting(point.runs[0], axis) if axis in results.axes else pinned[axis]
    return point.named(results.axes)[axis]


def _pairs(
    ours: Sequence[Point], theirs: Sequence[Point], names: tuple[str, str], a: Results, b: Results
) -> list[tuple[Point | None, Point | None]]:
    if not ours or not theirs:
        return [*((point, None) for point in ours), *((None, point) for point in theirs)]
    if len(ours) > 1 and len(theirs) > 1:
        differing = [
            axis
            for results, points in ((a, ours), (b, theirs))
            for axis in results.axes
            if _only(point.named(results.axes)[axis] for point in points) is _SEVERAL
        ]
        raise RequestError(
            f"{len(ours)} points of {names[0]} could each be compared with {len(theirs)} of {names[1]}: they "
            f"differ in {', '.join(dict.fromkeys(differing))}; choose with --where, or ignore less"
        )
    return [(one, other) for one in ours for other in theirs]


def _values(
    axes: Sequence[str], a: Results, ours: Point | None, b: Results, theirs: Point | None
) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(axes)
    for results, point in ((b, theirs), (a, ours)):
        if point is not None:
            values |= {axis: value for axis, value in point.named(results.axes).items() if axis in values}
    return values


def _nothing(
    a: Results, b: Results, names: tuple[str, str], common: Sequence[str], pinned: Mapping[str, Any]
) -> str:
    """Why no point has a counterpart: the axes on which the two sides share no value."""
    apart = []
    for axis in common:
        sides = []
        for results in (a, b):
            values = [_key(point, axis, results, pinned) for point in results.points]
            sides.append({sort_key([value]): value for value in values})
        if not sides[0].keys() & sides[1].keys():
            apart.append((axis, *(_list(side.values()) for side in sides)))
    sentences = [f"{axis} is {ours} in {names[0]} and {theirs} in {names[1]}" for axis, ours, theirs in apart]
    why = "; ".join(sentences) or "they share values on every axis, but no combination of them"
    remedy = "".join(f" --ignore {axis}" for axis, *_ in apart)
    hint = f"; to compare them all the same:{remedy}" if remedy else ""
    return f"no point of {names[0]} has a counterpart in {names[1]}: {why}{hint}"


def _list(values: Iterable[Any]) -> str:
    found = sorted(values, key=lambda value: sort_key([value]))
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(value_label(value) for value in found[:_SHOWN]) + more


def describe(values: Mapping[str, Any]) -> str:
    """A point in words: `batch size 256, warmup epochs 5`."""
    named = [f"{label(axis)} {value_label(value)}" for axis, value in values.items()]
    return ", ".join(named) or "the only point"
