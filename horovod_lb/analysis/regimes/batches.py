"""Points by their batch size, and which of them is the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.choice import choose
from horovod_lb.analysis.points import BATCH_AXES, Point
from horovod_lb.analysis.rows import is_finite
from horovod_lb.analysis.table import sort_key

if TYPE_CHECKING:
    from horovod_lb.analysis.results import Results


def batch_size_of(point: Point) -> int | None:
    """The global batch size of a point's runs; None where they do not say it."""
    values = (point.runs[0].value(axis) for axis in BATCH_AXES)
    return next((int(value) for value in values if is_finite(value)), None)


def by_batch_size(points: Sequence[Point]) -> dict[int, list[Point]]:
    """The points of each batch size, rising; those that do not say theirs are left out."""
    found: dict[int, list[Point]] = {}
    for point in points:
        size = batch_size_of(point)
        if size is not None:
            found.setdefault(size, []).append(point)
    return {size: found[size] for size in sorted(found)}


def _candidates(results: Results) -> list[Point]:
    """The points that have the values of the study's `baseline`; without one, those of the smallest batch
    size.
    """
    if results.source.baseline:
        return [point for point in results.points if _agrees(point, results.source.baseline)]
    return next(iter(by_batch_size(results.points).values()), [])


def baseline_of(results: Results) -> tuple[Point, str] | None:
    """The baseline and how it was found: of the points that it names the one with the highest mean final
    validation accuracy, chosen as in `best.csv`. None where no run of them has one.
    """
    candidates = _candidates(results)
    found = choose(candidates)
    if found is None:
        return None
    if results.source.baseline:
        how = "the study's baseline"
    else:
        how = "the smallest batch size, for the study names no baseline"
    return found, how + (f", the best of its {len(candidates)} points" if len(candidates) > 1 else "")


def _agrees(point: Point, values: Mapping[str, Any]) -> bool:
    """Whether the runs have these values; a mapping of a study file agrees with the complete one of a run."""
    return all(_contains(point.runs[0].value(key), value) for key, value in values.items())


def _contains(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return all(_contains(found.get(key), value) for key, value in wanted.items())
    return sort_key([found]) == sort_key([wanted])
