"""One rank leads a numerical method, the others evaluate with it: no rank can lose step with another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import horovod.tensorflow as hvd
import numpy as np

from horovod_lb.measure.objective import Objective, Vector

_DONE, _GRADIENT, _PRODUCT = range(3)


class Led:
    """What rank 0's method sees of an objective: plain functions of a vector.

    Where a method decides by floating-point numbers how often it evaluates (a line search, a residual), ranks
    on unlike processors might decide differently, and wait for each other for ever. So rank 0 alone decides.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self.size = objective.size

    def value_and_gradient(self, weights: Vector) -> tuple[float, Vector]:
        """f and its gradient at `weights`."""
        return self._evaluate(_GRADIENT, weights)

    def product(self, vector: Vector) -> Vector:
        """H·vector at the weights that the model has."""
        return self._evaluate(_PRODUCT, vector)

    def _evaluate(self, task: int, vector: Vector) -> Any:
        _tell(task)
        return self._carry_out(task, _share(vector, self.size))

    def _carry_out(self, task: int, vector: Vector) -> Any:
        if task == _PRODUCT:
            return self._objective.product(vector)
        self._objective.at(vector)
        return self._objective.value_and_gradient()

    def follow(self) -> None:
        """Do what rank 0 asks for, until it is done."""
        while (task := _tell(_DONE)) != _DONE:
            self._carry_out(task, _share(np.zeros(self.size), self.size))


def lead(objective: Objective, method: Callable[[Led], list[float]], results: int) -> list[float]:
    """`method(led)` on rank 0, and its `results` numbers on every rank; the model is left as it was.

    Collective. `method` may move the weights by `value_and_gradient`; `product` is taken at the weights as
    they are on every rank when it begins, unless it moves them.
    """
    led = Led(objective)
    found = np.full(results, np.nan)
    with objective.restored():
        if not _many() or hvd.rank() == 0:
            try:
                found[:] = method(led)
            finally:
                _tell(_DONE)
        else:
            led.follow()
    if _many():
        found = hvd.broadcast(found, root_rank=0, name="hlb.measured").numpy()
    return [float(value) for value in found]


def _many() -> bool:
    return hvd.is_initialized() and hvd.size() > 1


def _tell(task: int) -> int:
    """Rank 0's task, on every rank."""
    if not _many():
        return task
    return int(hvd.broadcast(np.array([task], np.int64), root_rank=0, name="hlb.measure.task").numpy()[0])


def _share(vector: Vector, size: int) -> Vector:
    if not _many():
        return vector
    name = f"hlb.measure.vector.{size}"
    return hvd.broadcast(np.asarray(vector, np.float64), root_rank=0, name=name).numpy()
