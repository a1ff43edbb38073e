"""The trust ratio: how far a layer may move, in units of its own weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras import ops

from horovod_lb.parameters import in_order, not_negative, optional, positive


@dataclass(frozen=True)
class TrustRatio:
    """coefficient · ‖w‖ / (denominator + epsilon), held within [min_ratio, max_ratio].

    Where one of the norms is 0 the ratio has no meaning and is 1 (within the bounds): weights that begin at 0
    would never move otherwise.
    """

    coefficient: float = 1.0
    epsilon: float = 0.0
    min_ratio: float = 0.0
    max_ratio: float | None = None

    def __post_init__(self) -> None:
        positive("coefficient", self.coefficient)
        not_negative("epsilon", self.epsilon)
        not_negative("min_ratio", self.min_ratio)
        optional(positive, "max_ratio", self.max_ratio)
        in_order("min_ratio", self.min_ratio, "max_ratio", self.max_ratio)

    def __call__(self, weight_norm: Any, denominator: Any, defined: Any) -> Any:
        """The ratio as a scalar; `defined` says whether it has a meaning. No NaN where it has none."""
        safe = ops.where(defined, denominator + self.epsilon, 1.0)
        ratio = ops.where(defined, self.coefficient * weight_norm / safe, 1.0)
        if self.min_ratio:
            ratio = ops.maximum(ratio, self.min_ratio)
        if self.max_ratio is not None:
            ratio = ops.minimum(ratio, self.max_ratio)
        return ratio
