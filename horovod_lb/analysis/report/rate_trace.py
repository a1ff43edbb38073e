"""The rate that a run's recipe plans for every step, by as few points as show its shape."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.planned import plan_key, plan_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WHOLE = 400  # steps up to which every one is kept
_EVEN = 60
_MOST = 2000
_OF_HIGHEST = 0.005
_OF_RATE = 0.05


class RateTraces:
    """The traces of a study's recipes, each made once."""

    def __init__(self) -> None:
        self.traces: list[Mapping[str, Any]] = []
        self._place: dict[str, int | None] = {}

    def place(self, spec: Mapping[str, Any]) -> int | None:
        """The index in `traces` of the run's planned rates; None where its recipe is not known."""
        key = plan_key(spec)
        if key not in self._place:
            trace = planned_rates(spec)
            self._place[key] = None if trace is None else len(self.traces)
            if trace is not None:
                self.traces.append(trace)
        return self._place[key]


def planned_rates(spec: Mapping[str, Any]) -> dict[str, list[Any]] | None:
    """`step` (0-based) and `rate` before that update, of the steps that `telling_steps` keeps; None where the
    specification holds no recipe, or one that is not understood.
    """
    plan = plan_of(spec)
    if plan is None:
        return None
    rates = plan.rates
    steps = telling_steps(rates)
    return {"step": steps.tolist(), "rate": [float(f"{rates[step]:.5g}") for step in steps]}


def telling_steps(rates: NDArray[np.float64]) -> NDArray[np.int64]:
    """Steps through which a line is nowhere further from `rates` than 0.5 % of the highest, and 5 % of the
    rate there; as many as that takes, but no more than about 4,000.

    Between any two steps at which the line is too far off, the step where it is furthest off joins them
    (Ramer, Douglas and Peucker's rule, all segments at a time).
    """
    import numpy as np

    total = len(rates)
    if total <= _WHOLE:
        return np.arange(total)
    chosen = np.unique(np.linspace(0, total - 1, _EVEN).round().astype(int))
    allowed = np.minimum(_OF_HIGHEST * np.abs(rates).max(), _OF_RATE * np.abs(rates))
    every = np.arange(total)
    while len(chosen) < _MOST:
        excess = np.abs(np.interp(every, chosen, rates[chosen]) - rates) - allowed
        worst = [start + int(excess[start:end].argmax()) for start, end in pairwise(chosen)]
        further = [step for step in worst if excess[step] > 1e-12]
        if not further:
            break
        chosen = np.union1d(chosen, further)
    return chosen
