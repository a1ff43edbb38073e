"""What a study's larger batch sizes are measured by: A, ξ, η and ρ of Definition 2.1 of You et al. 2020."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.points import Point
from horovod_lb.analysis.regimes.batches import baseline_of, batch_size_of
from horovod_lb.analysis.rows import is_finite
from horovod_lb.runs import State

if TYPE_CHECKING:
    from horovod_lb.analysis.results import Results


@dataclass(frozen=True)
class Baseline:
    """The baseline's point, `how` it was found, and what its runs came to."""

    point: Point
    how: str
    batch_size: int

    @cached_property
    def accuracies(self) -> list[float]:
        """Final validation accuracies of the converged runs; their mean is A."""
        return finals(self.point, "val_accuracy")

    @cached_property
    def losses(self) -> list[float]:
        """Final validation losses of the converged runs; their mean is ξ."""
        return finals(self.point, "val_loss")

    @property
    def accuracy(self) -> float:
        """A, a fraction."""
        return statistics.fmean(self.accuracies)

    @property
    def loss(self) -> float | None:
        """ξ."""
        return statistics.fmean(self.losses) if self.losses else None

    @property
    def rate(self) -> Any:
        """η, the peak rate."""
        return about(self.point, "learning_rate_peak")

    @property
    def epochs(self) -> Any:
        """ρ."""
        return about(self.point, "epochs")

    def in_time(self, epochs: Any) -> bool:
        """Whether so many epochs are no more than ρ, as far as is known."""
        return not (is_finite(epochs) and is_finite(self.epochs)) or epochs <= self.epochs * (1 + 1e-9)


def baseline(results: Results) -> Baseline | None:
    """The study's baseline, else its smallest batch size (`batches.baseline_of`); None without a result."""
    found = baseline_of(results)
    size = batch_size_of(found[0]) if found else None
    return Baseline(*found, size) if found and size is not None else None


def finals(point: Point, column: str) -> list[float]:
    """The last values of the runs that trained to their end."""
    values = (run.last(column) for run in point.runs if run.state is State.COMPLETED)
    return [float(value) for value in values if is_finite(value)]


def about(point: Point, name: str) -> Any:
    """What the specification of a point's runs says under a name."""
    return point.runs[0].value(name)
