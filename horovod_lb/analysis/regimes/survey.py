"""All that a study tells of how far the batch size can be raised, in one place, and as tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.points import Point
from horovod_lb.analysis.regimes.baseline import Baseline, baseline
from horovod_lb.analysis.regimes.batches import batch_size_of, by_batch_size
from horovod_lb.analysis.regimes.boundaries import Boundary, full_batch, huge_batch, large_batch
from horovod_lb.analysis.regimes.fits import CriticalBatch, epochs_by_batch
from horovod_lb.analysis.regimes.laws import RATE, WARMUP, Law, laws
from horovod_lb.analysis.regimes.proposal import Proposal, propose
from horovod_lb.analysis.regimes.targets import QUANTITIES, Target, ToTarget, target_of, to_target
from horovod_lb.analysis.rows import is_finite
from horovod_lb.analysis.table import Table
from horovod_lb.runs import State

if TYPE_CHECKING:
    from horovod_lb.analysis.results import Results

_LARGE = ("holds", "confidence", "accuracy", "loss", "n", "n_diverged")
_HUGE = ("holds", "confidence", "accuracy", "n", "n_diverged", "points")
COLUMNS = (
    "batch_size", "baseline",
    *(f"linear_{name}" for name in _LARGE), *(f"best_{name}" for name in _HUGE),
    "n_reached", "n_not_reached", *(f"{quantity}_to_target" for quantity in QUANTITIES),
    "noise_scale", "notes",
)  # fmt: skip


@dataclass(frozen=True)
class Survey:
    """Boundaries, targets and laws of a study's runs. `fastest` has the point of each batch size that reaches
    the `target` in the fewest epochs; `left_out` the batch sizes of which too few runs do.
    """

    results: Results
    base: Baseline | None
    large: Boundary | None
    huge: Boundary | None
    full: int | None
    target: Target | None
    fastest: dict[int, ToTarget]
    critical: CriticalBatch | None
    left_out: tuple[int, ...]

    def laws(self) -> list[Law]:
        """The laws of best warmups and best rates by batch size, of those axes that the study varies."""
        found = []
        for derived, *names in (WARMUP, RATE):
            axis = next((name for name in (derived, *names) if name in self.results.axes), None)
            # A rate on the axis is the reference's; what is used is the peak that follows from it.
            if axis is not None:
                found += laws(self.results, derived) or laws(self.results, axis)
        return found

    def proposals(self, factor: float = 2.0) -> list[Proposal]:
        """What to run next, until brackets are no wider than `factor`; each once."""
        if self.base is None:
            return []
        found = [
            proposal
            for boundary in (self.large, self.huge)
            if boundary is not None
            for proposal in propose(self.results, boundary, self.base, self.full, factor=factor)
        ]
        kept: dict[tuple[str, int | None], Proposal] = {}
        for proposal in found:
            key = (proposal.words(), proposal.batch_size)
            if key in kept:  # one run, or one more seed, for both boundaries
                kept[key] = replace(kept[key], boundary=f"{kept[key].boundary}, {proposal.boundary}")
            else:
                kept[key] = proposal
        return list(kept.values())

    def table(self) -> Table:
        """`regimes.csv`, a row a batch size."""
        return Table(COLUMNS, [self._row(size) for size in by_batch_size(self.results.points)])

    def _row(self, size: int) -> dict[str, Any]:
        row: dict[str, Any] = {
            "batch_size": size,
            "baseline": self.base is not None and size == self.base.batch_size,
        }
        notes = []
        for part, boundary, names in (("linear", self.large, _LARGE), ("best", self.huge, _HUGE)):
            judged = boundary.at(size) if boundary else None
            if judged is not None:
                said = {name: getattr(judged, name, None) for name in names}
                said["n_diverged"] = judged.point.n_diverged
                row |= {f"{part}_{name}": value for name, value in said.items()}
                notes += [f"{part}: {note}" for note in (*judged.notes, *judged.edges)]
        found = self.fastest.get(size)
        if found is not None:
            row |= {"n_reached": len(found.arrivals), "n_not_reached": found.n_not_reached}
            row |= {f"{quantity}_to_target": found.median(quantity) for quantity in QUANTITIES}
        row["noise_scale"] = _noise_scale(found.point if found else None, self.results, size)
        row["notes"] = "; ".join(notes) or None
        return row


def survey(results: Results) -> Survey:
    """The survey of a study's runs; see docs/regimes.md for every definition."""
    base, target = baseline(results), target_of(results)
    fastest = _fastest(results.points, target) if target else {}
    medians = {size: found.median("epochs") for size, found in fastest.items()}
    reaching = {size: median for size, median in medians.items() if median is not None}
    return Survey(
        results,
        base,
        large_batch(results, base) if base else None,
        huge_batch(results, base) if base else None,
        full_batch(base) if base else None,
        target,
        fastest,
        epochs_by_batch(list(reaching), list(reaching.values()), resolution=1),
        tuple(size for size, found in fastest.items() if found.n_not_reached and size not in reaching),
    )


def batch_sizes(results: Results) -> tuple[int, ...]:
    """The batch sizes of a study's points, rising."""
    return tuple(by_batch_size(results.points))


def _fastest(points: Sequence[Point], target: Target) -> dict[int, ToTarget]:
    """Of each batch size the point with the least median of epochs to the target, else the one that reaches
    it with most runs; batch sizes without any result are left out.
    """
    found: dict[int, ToTarget] = {}
    for size, candidates in by_batch_size(points).items():
        judged = [to_target(point, target) for point in candidates]
        known = [one for one in judged if one.arrivals or one.n_not_reached]
        if known:
            found[size] = min(known, key=_slowness)
    return found


def _slowness(found: ToTarget) -> tuple[float, float, float]:
    epochs, seconds = found.median("epochs"), found.median("seconds")
    reached = len(found.arrivals) / (len(found.arrivals) + found.n_not_reached)
    infinite = float("inf")
    return (
        infinite if epochs is None else epochs,
        -reached,
        infinite if seconds is None else seconds,
    )


def _noise_scale(point: Point | None, results: Results, size: int) -> float | None:
    """The mean over the runs of a batch size's point (all its points where none is named) of the gradient
    noise scale at their last measurement.
    """
    points = [point] if point else [one for one in results.points if batch_size_of(one) == size]
    values = [run.last("noise_scale") for one in points for run in one.runs if run.state is State.COMPLETED]
    known = [float(value) for value in values if is_finite(value)]
    return statistics.fmean(known) if known else None
