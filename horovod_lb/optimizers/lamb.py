"""LAMB: Adam's step with decay, each layer's length set by the norm of its weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from horovod_lb.optimizers.adaptive import LayerAdaptive
from horovod_lb.optimizers.kernels import adam_step, descend, norm, scratch
from horovod_lb.parameters import below_one, flag, in_order, not_negative, optional, positive


@keras.saving.register_keras_serializable(package="horovod_lb")
class LAMB(LayerAdaptive):
    """w ← w − η·ρ·(r + λw), r = m̂/(√v̂ + ε), ρ = φ(‖w‖)/‖r + λw‖ (You et al. 2020, Algorithm 2).

    m and v are Adam's moments, m̂ and v̂ without their bias. φ(z) = min(max(z, min_norm), max_norm); the
    paper's experiments have φ(z) = z, the default. ρ is 1 where φ(‖w‖) or ‖r + λw‖ is 0 and for excluded
    variables. Gradients of embeddings are taken as dense.

    `keras.optimizers.Lamb` differs: its decay is applied before the step and outside of the ratio, and its
    ε is 1e-7.

    Args:
        learning_rate: η: float, `LearningRateSchedule` or callable.
        beta_1, beta_2: of the moments, in [0, 1).
        epsilon: ε > 0, in the denominator of r.
        weight_decay: λ ≥ 0, inside the ratio and not in the moments.
        bias_correction: without it m̂ = m and v̂ = v (the paper's appendix), which is a warmup of a kind.
        min_norm, max_norm: of φ.
        min_ratio, max_ratio: bounds of ρ.
        exclude_from_adaptation, exclude_from_decay, record_ratios: see `LayerAdaptive`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        weight_decay: float | None = 0.0,
        bias_correction: bool = True,
        min_norm: float = 0.0,
        max_norm: float | None = None,
        min_ratio: float = 0.0,
        max_ratio: float | None = None,
        exclude_from_adaptation: Iterable[Any] = (),
        exclude_from_decay: Iterable[Any] = (),
        record_ratios: bool = False,
        name: str = "lamb",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            min_ratio=min_ratio,
            max_ratio=max_ratio,
            exclude_from_adaptation=exclude_from_adaptation,
            exclude_from_decay=exclude_from_decay,
            record_ratios=record_ratios,
            name=name,
            **kwargs,
        )
        self.beta_1 = below_one("beta_1", beta_1)
        self.beta_2 = below_one("beta_2", beta_2)
        self.epsilon = positive("epsilon", epsilon)
        self.bias_correction = flag("bias_correction", bias_correction)
        self.min_norm = not_negative("min_norm", min_norm)
        self.max_norm = optional(positive, "max_norm", max_norm)
        in_order("min_norm", self.min_norm, "max_norm", self.max_norm)

    def build(self, variables: Sequence[Any]) -> None:
        """Create both moments of each variable, of its shape and dtype."""
        if self.built:
            return
        super().build(variables)
        self._first, self._second = self.add_optimizer_variables(variables, ["momentum", "velocity"])
        self._scratch = tuple(scratch(variable) for variable in variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One variable's update."""
        index, dtype = self._get_variable_index(variable), variable.dtype
        decay, (scale, epsilon) = self._decay[index], self._corrections
        step = adam_step(
            self._first[index],
            self._second[index],
            ops.cast(gradient, dtype),
            ops.multiply(ops.convert_to_tensor(decay, dtype), variable) if decay else None,
            (self.beta_1, self.beta_2),
            ops.cast(scale, dtype),
            ops.cast(epsilon, dtype),
            self._scratch[index],
        )
        factor = ops.cast(learning_rate, dtype)
        if self._adapted[index]:
            weights, moved = self._phi(norm(variable)), norm(step)
            ratio = self.ratio(weights, moved, ops.logical_and(weights > 0, moved > 0))
            factor = ops.multiply(factor, ops.cast(self.note_ratio(index, ratio), dtype))
        descend(variable, factor, step)

    def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
        # r = scale · m/(√v + ε·√(1 − β₂^t)): both corrections are scalars, and the same for all variables.
        root = ops.sqrt(self._unbias(self.beta_2))
        self._corrections = ops.divide(root, self._unbias(self.beta_1)), ops.multiply(self.epsilon, root)
        super()._backend_update_step(grads, trainable_variables, learning_rate)

    def _unbias(self, beta: float) -> Any:
        """By what a moment is too small, a float32 scalar: 1 − β^t, or 1 without correction.

        With β as float32 has it, as in the moments: 1 − 0.999 is wrong in the fifth digit there, and the
        correction must be wrong by as much.
        """
        rounded = float(np.float32(beta))
        if not self.bias_correction or beta == 0:
            return ops.convert_to_tensor((1 - rounded) / (1 - beta), "float32")
        step = ops.cast(ops.add(self.iterations, 1), "float32")
        return ops.negative(ops.expm1(ops.multiply(step, math.log(rounded))))

    def _phi(self, weights: Any) -> Any:
        if self.min_norm:
            weights = ops.maximum(weights, self.min_norm)
        return weights if self.max_norm is None else ops.minimum(weights, self.max_norm)

    def get_config(self) -> dict[str, Any]:
        """Everything `from_config` needs."""
        config = super().get_config()
        del config["coefficient"]  # LAMB has none
        config.update(
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon,
            bias_correction=self.bias_correction,
            min_norm=self.min_norm,
            max_norm=self.max_norm,
        )
        return config
