"""What an optimizer around another one answers in its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Delegation:
    """Mixed into a Keras optimizer, before it: what Keras asks of it, `inner_optimizer` answers."""

    inner_optimizer: Any
    _variables: list[Any]

    @property
    def variables(self) -> list[Any]:
        """The wrapper's own variables, then the inner optimizer's."""
        return self._variables + list(self.inner_optimizer.variables)

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's learning rate."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        """The inner optimizer's steps; micro-batches do not count."""
        return self.inner_optimizer.iterations

    def scale_loss(self, loss: Any) -> Any:
        """The loss, times the inner optimizer's loss scale if it has one."""
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Let the inner optimizer write its final values (EMA) into the variables."""
        self.inner_optimizer.finalize_variable_values(var_list)
