"""Differences between points in pairs of runs with the same seed; `differences.csv`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from horovod_lb.analysis.points import Point
from horovod_lb.analysis.statistics import COLUMNS as SUMMARY
from horovod_lb.analysis.statistics import Summary, summarize
from horovod_lb.analysis.table import Table, sort_key

_RENAMED = {"mean": "mean_difference", "std": "std_difference"}
DIFFERENCE = (*(_RENAMED.get(name, name) for name in SUMMARY), "n_better", "n_worse")
PAIR_COLUMNS = (*DIFFERENCE, "n_diverged", "n_missing")


@dataclass(frozen=True)
class Pairs:
    """The differences of final validation accuracy, seed by seed, and how many seeds gave none: because one
    of the two runs diverged, or because one is missing.
    """

    differences: tuple[float, ...]
    n_diverged: int
    n_missing: int

    @cached_property
    def summary(self) -> Summary:
        """Over pairs: the interval is that of the paired t test."""
        return summarize(self.differences)

    def columns(self) -> dict[str, Any]:
        """The cells of `differences.csv` beside the axes."""
        return {
            **{_RENAMED.get(name, name): value for name, value in self.summary.columns().items()},
            "n_better": sum(value > 0 for value in self.differences),
            "n_worse": sum(value < 0 for value in self.differences),
            "n_diverged": self.n_diverged,
            "n_missing": self.n_missing,
        }


def pairs(here: Point, there: Point | None) -> Pairs:
    """`here` minus `there`, by the seeds that either has."""
    ours, theirs = here.by_seed(), there.by_seed() if there else {}
    seeds = dict.fromkeys((*here.seeds, *(there.seeds if there else ())))
    both = [seed for seed in seeds if seed in ours and seed in theirs]
    diverged = {*here.diverged_seeds, *(there.diverged_seeds if there else ())}.difference(both)
    return Pairs(
        tuple(ours[seed] - theirs[seed] for seed in both),
        len(diverged),
        len(seeds) - len(both) - len(diverged),
    )


def differences_table(points: Sequence[Point], axes: Sequence[str], baseline: Mapping[str, Any]) -> Table:
    """`differences.csv`: each point against the baseline, in pairs of runs with the same seed.

    `baseline` gives values for some or all axes. Where several points have these values, a point is compared
    with the one of them that agrees with it on the axes in which they differ. Without a baseline the table
    has no rows.
    """
    references = baseline_points(points, axes, baseline)
    # An axis on which they all agree, such as groups that follow the batch size, tells none from another.
    apart = [
        axis
        for place, axis in enumerate(axes)
        if len({sort_key([reference.values[place]]) for reference in references}) > 1
    ]
    rows = []
    for point in points if references else ():
        if any(point is reference for reference in references):
            continue
        named = point.named(axes)
        wanted = {axis: named[axis] for axis in apart}
        same = next((reference for reference in references if _agree(reference, wanted, axes)), None)
        rows.append({**named, **pairs(point, same).columns()})
    return Table((*axes, *PAIR_COLUMNS), rows)


def baseline_points(points: Sequence[Point], axes: Sequence[str], baseline: Mapping[str, Any]) -> list[Point]:
    """The points that have the values of the baseline on the axes that it names."""
    fixed = {axis: value for axis, value in baseline.items() if axis in axes}
    return [point for point in points if fixed and _agree(point, fixed, axes)]


def _agree(point: Point, values: Mapping[str, Any], axes: Sequence[str]) -> bool:
    named = point.named(axes)
    return sort_key(named[axis] for axis in values) == sort_key(values.values())
