"""What layers ask of the ranks; `horovod_lb.distributed` has it over Horovod."""

from __future__ import annotations

from typing import Any, Protocol


class Collective(Protocol):
    """A group of peers that add tensors up.

    Attributes:
        span: how many they are.
    """

    span: int

    def sum(self, tensor: Any) -> Any:
        """The sum of `tensor` over the peers, on each of them; its gradient is the sum of their gradients."""


class Alone:
    """A group of one."""

    span = 1

    def sum(self, tensor: Any) -> Any:
        """`tensor` itself."""
        return tensor
