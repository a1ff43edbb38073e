"""The learning rate of every step: warmup to the peak, then the schedule."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from horovod_lb.recipe.exact import ceil
from horovod_lb.recipe.schedules import Schedule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WARMUPS = ("none", "gradual", "constant", "cosine")
STARTS = ("reference", "zero", "per_worker")


@dataclass(frozen=True)
class Warmup:
    """`kind` (one of `WARMUPS`) from the rate `start` over `steps` (T_w, exact) or `epochs`."""

    kind: str
    start: float
    steps: Fraction
    epochs: Fraction


class LearningRate:
    """The rate of step t = 0, 1, ..., as it is before update t.

    For t < T_w a gradual warmup gives start + (peak - start) * t / T_w (Goyal et al. 2017, by the step), a
    constant one start, a cosine one start + (peak - start) * (1 - cos(pi t / T_w)) / 2; from T_w on the
    schedule holds. T_w is a real number: 36.6 steps of warmup are ramped
    over 36.6 steps and end before step 37.
    """

    def __init__(self, peak: float, total_steps: int, warmup: Warmup, schedule: Schedule):
        self.peak = peak
        self.total_steps = total_steps
        self.kind = warmup.kind
        self.warmup_steps = float(warmup.steps)
        self.warmup_epochs = float(warmup.epochs)
        self._start = warmup.start
        self._warmup_end = ceil(warmup.steps)
        self._schedule = schedule

    @property
    def start(self) -> float:
        """The rate of step 0."""
        return self(0)

    def __call__(self, t: int) -> float:
        """The rate of step `t`, also for t >= T, where the schedule just goes on. ValueError: t < 0."""
        if t < 0:
            raise ValueError(f"there is no step {t}")
        if t >= self._warmup_end:
            return self._schedule.rate(t)
        if self.kind == "constant":
            return self._start
        return float(self._start + (self.peak - self._start) * self._climbed(t / self.warmup_steps))

    def _climbed(self, part: Any) -> Any:
        """How much of the way to the peak is behind after this part of the warmup."""
        if self.kind != "cosine":
            return part
        import numpy as np

        return 0.5 * (1.0 - np.cos(np.pi * part))

    def table(self) -> NDArray[np.float64]:
        """The rates of all steps, float64[T]: the very floats that asking for each step gives."""
        import numpy as np

        ramp_end = min(self._warmup_end, self.total_steps)
        rates = np.empty(self.total_steps)
        if self.kind == "constant":
            rates[:ramp_end] = self._start
        elif ramp_end:
            climbed = self._climbed(np.arange(ramp_end) / self.warmup_steps)
            rates[:ramp_end] = self._start + (self.peak - self._start) * climbed
        rates[ramp_end:] = self._schedule.rates(ramp_end, self.total_steps)
        return rates
