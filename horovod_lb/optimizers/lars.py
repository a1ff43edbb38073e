"""LARS: SGD with momentum, each layer's rate scaled by the ratio of its weights to its gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from horovod_lb.optimizers.adaptive import LayerAdaptive
from horovod_lb.optimizers.kernels import momentum_step, norm
from horovod_lb.optimizers.momentum import MomentumSGD
from horovod_lb.parameters import one_of

NORMS = ("sum", "joint")


@keras.saving.register_keras_serializable(package="horovod_lb")
class LARS(LayerAdaptive, MomentumSGD):
    """v ← m·v + η·r·(g + λw), w ← w − v, with r = c·‖w‖/(‖g‖ + λ‖w‖ + ε) (You, Gitman, Ginsburg 2017).

    The rate is inside the buffer, as in the paper, MLPerf's reference and optax. With `correction` the
    history is rescaled when the rate changes (see `MomentumSGD`), which is the form with the rate outside:
    u ← m·u + r·(g + λw), w ← w − η·u (timm).

    The ratio is 1 where ‖w‖ or ‖g‖ is 0 and for excluded variables: it is not multiplied by `coefficient`
    there. Gradients of embeddings are taken as dense: the norms are over the whole table.

    Args:
        learning_rate: η: float, `LearningRateSchedule` or callable.
        momentum: m, in [0, 1).
        weight_decay: λ ≥ 0.
        coefficient: c > 0. 1 as in You et al. 2020; the 2017 paper and other libraries have 0.001, which
            goes with rates a thousand times as large.
        norm: the denominator: `sum` is ‖g‖ + λ‖w‖ (the paper, MLPerf), `joint` is ‖g + λw‖ (optax, TensorFlow
            Model Garden), whose ratio is 1 where that norm is 0.
        epsilon: ε ≥ 0; 0 means 0.
        nesterov: look ahead.
        correction: momentum correction.
        min_ratio, max_ratio: bounds of r.
        exclude_from_adaptation, exclude_from_decay, record_ratios: see `LayerAdaptive`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.9,
        weight_decay: float | None = 0.0,
        coefficient: float = 1.0,
        norm: str = "sum",
        epsilon: float = 0.0,
        nesterov: bool = False,
        correction: bool = False,
        min_ratio: float = 0.0,
        max_ratio: float | None = None,
        exclude_from_adaptation: Iterable[Any] = (),
        exclude_from_decay: Iterable[Any] = (),
        record_ratios: bool = False,
        name: str = "lars",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate,
            momentum=momentum,
            nesterov=nesterov,
            correction=correction,
            weight_decay=weight_decay,
            coefficient=coefficient,
            epsilon=epsilon,
            min_ratio=min_ratio,
            max_ratio=max_ratio,
            exclude_from_adaptation=exclude_from_adaptation,
            exclude_from_decay=exclude_from_decay,
            record_ratios=record_ratios,
            name=name,
            **kwargs,
        )
        self.norm = one_of("norm", norm, NORMS)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One variable's update."""
        index = self._get_variable_index(variable)
        gradient, decay = ops.cast(gradient, variable.dtype), self._decay[index]
        decayed = (
            ops.add(gradient, ops.multiply(ops.convert_to_tensor(decay, variable.dtype), variable))
            if decay
            else gradient
        )
        ratio = ops.ones((), variable.dtype)
        if self._adapted[index]:
            weights, moved = norm(variable), norm(gradient if self.norm == "sum" else decayed)
            defined = ops.logical_and(weights > 0, moved > 0)
            if self.norm == "sum":
                moved = moved + decay * weights
            ratio = self.note_ratio(index, self.ratio(weights, moved, defined))
        if self.correction:
            self._move(decayed, variable, learning_rate, ratio)
            return
        factor = ops.multiply(ops.cast(learning_rate, variable.dtype), ops.cast(ratio, variable.dtype))
        momentum_step(variable, self.buffers[index], decayed, factor, self.momentum, self.nesterov)

    def get_config(self) -> dict[str, Any]:
        """Everything `from_config` needs."""
        return {**super().get_config(), "norm": self.norm}
