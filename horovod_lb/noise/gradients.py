"""Gaussian noise on the gradient, as a wrapper around any Keras optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops
from keras.optimizers import Optimizer

from horovod_lb.noise.normal import GRADIENTS, deviation, normal
from horovod_lb.optimizers.kernels import dense
from horovod_lb.optimizers.wrapper import Wrapper
from horovod_lb.parameters import not_negative, whole


@keras.saving.register_keras_serializable(package="horovod_lb")
class GradientNoise(Wrapper):
    """The inner optimizer gets g + n, n ~ N(0, σ_t²) element by element, σ_t² = σ²/(1 + t)^γ.

    Neelakantan et al. 2015. t counts the updates done. The noise is a function of seed and t, so that it is
    the same on every rank, and in a training that was resumed. Inside a `DistributedOptimizer` g is the
    reduced gradient of the whole batch, without a loss scale; clipping and weight decay, which are the inner
    optimizer's, come after the noise.

        hlb.DistributedOptimizer(hlb.GradientNoise(keras.optimizers.SGD(0.1, momentum=0.9), 0.01))

    Args:
        optimizer: a Keras optimizer, or its name. Micro-batches are best accumulated by the wrapper outside:
            one inside would add noise to each.
        stddev: σ >= 0.
        decay: γ >= 0; the paper's is 0.55.
        seed: a whole number >= 0.
    """

    def __init__(
        self,
        optimizer: Optimizer | str,
        stddev: float,
        decay: float = 0.0,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        optimizer = keras.optimizers.get(optimizer)
        super().__init__(optimizer, name=name or f"noisy_{optimizer.name}")
        self.stddev, self.decay = not_negative("stddev", stddev), not_negative("decay", decay)
        self.seed = whole("seed", seed, 0)

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """The inner optimizer's step with noisy gradients; None stays None."""
        if not self.built:
            self.build(list(trainable_variables or []))
        variables = self._trainable_variables if trainable_variables is None else trainable_variables
        step = self.iterations
        sigma = deviation(self.stddev, self.decay, step)
        noisy = [
            None if gradient is None else self._noisy(gradient, variable, sigma, step)
            for gradient, variable in zip(dense(grads), variables, strict=True)
        ]
        self.inner_optimizer.apply(noisy, trainable_variables)

    def _noisy(self, gradient: Any, variable: Any, sigma: Any, step: Any) -> Any:
        index = self._get_variable_index(variable)
        noise = sigma * normal(variable.shape, self.seed, GRADIENTS, index, step)
        return ops.cast(gradient, variable.dtype) + ops.cast(noise, variable.dtype)

    def get_config(self) -> dict[str, Any]:
        """Everything `from_config` needs, the inner optimizer included."""
        return {**super().get_config(), "stddev": self.stddev, "decay": self.decay, "seed": self.seed}
