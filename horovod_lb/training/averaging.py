"""The moving average of the weights: where it takes the place of the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from horovod_lb.distributed.optimizer import innermost


class Averaging:
    """Evaluations and the end of training with averaged weights, where the optimizer keeps an average.

    Training goes on from the weights themselves.

    Args:
        optimizer: built; `use_ema` of the innermost one says whether there is an average.
        variables: the model's trainable variables.
        evaluate: `averaged`, or `raw`: never the average.
    """

    def __init__(self, optimizer: Any, variables: Sequence[Any], evaluate: str = "averaged") -> None:
        self._optimizer, self._variables = optimizer, list(variables)
        self._on = bool(innermost(optimizer).use_ema) and evaluate == "averaged"

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """For its time the variables hold the average; then what they held before, to the bit."""
        if not self._has_average:
            yield
            return
        before = [np.array(variable) for variable in self._variables]
        self.finish()
        try:
            yield
        finally:
            for variable, value in zip(self._variables, before, strict=True):
                variable.assign(value)

    def finish(self) -> None:
        """Put the average into the variables, for good."""
        if self._has_average:
            self._optimizer.finalize_variable_values(self._variables)

    @property
    def _has_average(self) -> bool:
        """Before the first update, which a loss scale may skip, the average is 0."""
        return self._on and int(self._optimizer.iterations) > 0
