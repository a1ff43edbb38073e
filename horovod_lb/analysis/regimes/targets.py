"""What it takes to reach a target: epochs, steps and seconds, also of runs that never reach it."""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from horovod_lb.analysis.points import Point
from horovod_lb.analysis.record import Record
from horovod_lb.analysis.regimes.batches import baseline_of
from horovod_lb.analysis.rows import is_finite
from horovod_lb.analysis.statistics import summarize
from horovod_lb.analysis.table import Table
from horovod_lb.analysis.wide import label
from horovod_lb.runs import State

if TYPE_CHECKING:
    from horovod_lb.analysis.results import Results

FRACTION = 0.995
"""Of the baseline's accuracy: the target where a study names none (You et al. 2020, Definition 2.1)."""

QUANTITIES = ("epochs", "steps", "seconds")
_NAMES = {
    "val_accuracy": "validation accuracy",
    "val_top5": "top-5 validation accuracy",
    "val_loss": "validation loss",
    "train_accuracy": "training accuracy",
    "train_loss": "training loss",
}
_COUNTS = ("n_reached", "n_not_reached", "n_missing")


@dataclass(frozen=True)
class Target:
    """The `value` of a `column` of `epochs.csv` that counts as reached, and `why` this one."""

    column: str
    value: float
    why: str = "the study's target"

    @property
    def falling(self) -> bool:
        """Whether it is reached from above, as losses are."""
        return self.column.endswith("loss")

    def met(self, value: Any) -> bool:
        """Whether a value of the column is at the target or beyond it."""
        if not is_finite(value):
            return False
        return bool(value <= self.value if self.falling else value >= self.value)

    def short(self) -> str:
        """`val_accuracy >= 0.753`."""
        return f"{self.column} {'<=' if self.falling else '>='} {self.value:.5g}"

    def for_people(self) -> str:
        """`a validation accuracy of at least 75.3 %`."""
        name = _NAMES.get(self.column, label(self.column))
        if self.falling:
            return f"a {name} of at most {self.value:.5g}"
        return f"a {name} of at least {100 * self.value:.4g} %"

    def __str__(self) -> str:
        return f"{self.short()} ({self.why})"


class Reached(NamedTuple):
    """The first epoch that is at the target, the updates done at its end, and the seconds of training and
    evaluation up to there; None where the run has not written them.
    """

    epoch: int
    step: int | None
    seconds: float | None


def target_of(results: Results) -> Target | None:
    """The study's `target`; else 99.5 % of the baseline's mean final validation accuracy.

    The baseline is the study's, else the smallest batch size (`baseline_of`). None where neither a target nor
    a baseline with a result is there.
    """
    for column, value in results.source.target.items():
        return Target(column, float(value))
    baseline = baseline_of(results)
    if baseline is None or baseline[0].accuracy.mean is None:
        return None
    value = FRACTION * baseline[0].accuracy.mean
    return Target("val_accuracy", value, f"{100 * FRACTION:g} % of the accuracy of {baseline[1]}")


def reached(record: Record, target: Target) -> Reached | None:
    """When a run is first at the target, at the end of an epoch; None where it is not, so far."""
    values = record.epochs.column(target.column)
    if isinstance(values, array):  # numbers alone: most runs
        beyond, bound = operator.le if target.falling else operator.ge, target.value
        place = next((place for place, value in enumerate(values) if beyond(value, bound)), None)
    else:
        place = next((place for place, value in enumerate(values) if target.met(value)), None)
    if place is None:
        return None
    durations = record.epochs.column("seconds")[: place + 1]
    seconds = sum(durations, 0.0) if all(map(is_finite, durations)) else None
    epoch, step = (record.epochs.column(name)[place] for name in ("epoch", "step"))
    return Reached(int(epoch), int(step) if is_finite(step) else None, seconds)


@dataclass(frozen=True)
class ToTarget:
    """The runs of a point on their way to a target: when each was there, and how many have ended without it
    (`n_not_reached`: converged or diverged) or may yet come to it (`n_missing`).
    """

    point: Point
    arrivals: tuple[Reached, ...]
    n_not_reached: int
    n_missing: int

    def values(self, quantity: str) -> list[float]:
        """The `epochs`, `steps` or `seconds` of the runs that reached the target and have written them."""
        index = QUANTITIES.index(quantity)
        values = (arrival[index] for arrival in self.arrivals)
        return [float(value) for value in values if value is not None]

    def median(self, quantity: str) -> float | None:
        """The median over all runs with a result, those that never reach it being later than all others; None
        where that is not known: half of them or more never do.
        """
        values = self.values(quantity)
        if len(values) < len(self.arrivals):
            return None
        ordered = sorted([*values, *[math.inf] * self.n_not_reached])
        if not ordered:
            return None
        middle = len(ordered) // 2
        found = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
        return found if math.isfinite(found) else None


def to_target(point: Point, target: Target) -> ToTarget:
    """The runs of a point against a target. A run in any state that has been there has reached it."""
    found = [(run, reached(run, target)) for run in point.runs]
    arrivals = tuple(arrival for _, arrival in found if arrival is not None)
    ended = sum(arrival is None and _has_ended(run, target) for run, arrival in found)
    return ToTarget(point, arrivals, ended, len(found) - len(arrivals) - ended)


def _has_ended(run: Record, target: Target) -> bool:
    """Whether a run will write no more of the column: it diverged, or completed having written some."""
    return run.state is State.DIVERGED or (
        run.state is State.COMPLETED and run.last(target.column) is not None
    )


def targets_table(results: Results, target: Target | None = None) -> Table:
    """`targets.csv`, a row a point: how many runs reach the target (default: `target_of`), and after how many
    epochs, steps and seconds.

    Means with Student's t intervals are those of points all of whose runs with a result have reached it: the
    mean of those that did, where some did not, would be too early. Medians count runs that never reach it as
    later than all others. No rows without a target.
    """
    target = target or target_of(results)
    rows = [_row(results.axes, to_target(point, target), target) for point in results.points if target]
    return Table((*results.axes, "target", "target_value", *_COUNTS, *_columns()), rows)


def _columns() -> tuple[str, ...]:
    parts = ("mean", "std", "ci95_low", "ci95_high", "median")
    return tuple(f"{quantity}_{part}" for quantity in QUANTITIES for part in parts)


def _row(axes: Sequence[str], found: ToTarget, target: Target) -> dict[str, Any]:
    row: dict[str, Any] = {
        **found.point.named(axes),
        "target": target.column,
        "target_value": target.value,
        "n_reached": len(found.arrivals),
        "n_not_reached": found.n_not_reached,
        "n_missing": found.n_missing,
    }
    for quantity in QUANTITIES:
        values = found.values(quantity)
        whole = not found.n_not_reached and len(values) == len(found.arrivals)
        summary = summarize(values if whole else [])
        statistics = (summary.mean, summary.std, summary.low, summary.high, found.median(quantity))
        parts = ("mean", "std", "ci95_low", "ci95_high", "median")
        row |= {f"{quantity}_{part}": value for part, value in zip(parts, statistics, strict=True)}
    return row
