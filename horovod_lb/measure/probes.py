"""What is measured at an epoch's end on fixed training examples: sharpness, Hessian, signal and noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from horovod_lb.data import AS_STORED, Examples
from horovod_lb.data.order import Order, permutation
from horovod_lb.measure import scale as noise
from horovod_lb.measure import sharpness, spectrum
from horovod_lb.measure.callbacks import Measurement
from horovod_lb.measure.lead import Led, lead
from horovod_lb.measure.objective import Objective

# The same examples, probes and subspaces in every run, so that runs can be compared.
_SEED = 0


class Probe(Measurement):
    """Measures at the end of every so many epochs, and of the last. Collective; weights are left as they are.

    Args:
        data: the training set.
        loss: (labels, outputs) -> float32 [n], the plain loss without smoothing and penalty.
        normalize: makes the network's input of it, see `Objective`.
        examples: how many are used, chosen once for all; None: all.
        every_epochs: the cadence.
        mode: see `Objective`.
    """

    def __init__(
        self,
        data: Examples,
        loss: Callable[[Any, Any], Any],
        *,
        normalize: Callable[[Any], Any] = AS_STORED,
        examples: int | None = 1024,
        every_epochs: int = 1,
        mode: str = "inference",
    ) -> None:
        super().__init__()
        if every_epochs < 1:
            raise ValueError(f"every_epochs must be at least 1, not {every_epochs}")
        self.every_epochs = every_epochs
        self._data, self._loss, self._normalize, self._mode = data, loss, normalize, mode
        self.rows = np.sort(permutation(len(data), _SEED, 0)[:examples])
        self._objective: Objective | None = None

    def due(self, epoch: int) -> bool:
        """Every so many epochs, and the last one."""
        return epoch % self.every_epochs == 0 or epoch == (self.params or {}).get("epochs")

    @property
    def objective(self) -> Objective:
        """The loss over the examples, made at the first call."""
        if self._objective is None:
            self._objective = Objective(
                self.model, self._loss, self._data, self.rows, normalize=self._normalize, mode=self._mode
            )
        return self._objective


class Sharpness(Probe):
    """Keskar's φ, and the rise of the loss within SAM's ball; see `sharpness.keskar` and `sharpness.in_ball`.

    Args:
        epsilon, iterations: of φ.
        subspace: dimensions of the random subspace; None: the whole space.
        rho, rho_steps: radius and steps in the ball.
        data, loss, options: see `Probe`.
    """

    def __init__(
        self,
        data: Examples,
        loss: Callable[[Any, Any], Any],
        *,
        epsilon: float = 1e-3,
        subspace: int | None = None,
        iterations: int = 10,
        rho: float = 0.05,
        rho_steps: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(data, loss, **options)
        self.epsilon, self.subspace, self.iterations = epsilon, subspace, iterations
        self.rho, self.rho_steps = rho, rho_steps

    @property
    def columns(self) -> tuple[str, ...]:
        """φ; max f − f in the ball; f itself."""
        return ("sharpness", "sharpness_sam", "sharpness_loss")

    def measure(self, epoch: int) -> dict[str, float | None]:
        """See `columns`."""
        return dict(zip(self.columns, lead(self.objective, self._search, 3), strict=True))

    def _search(self, led: Led) -> list[float]:
        weights, f = self.objective.weights, led.value_and_gradient
        space = sharpness.random_subspace(led.size, self.subspace, _SEED) if self.subspace else None
        box = sharpness.keskar(
            f, weights, epsilon=self.epsilon, subspace=space, iterations=self.iterations, seed=_SEED
        )
        ball = sharpness.in_ball(f, weights, rho=self.rho, steps=self.rho_steps, seed=_SEED)
        return [box.phi, ball.rise, box.value]


class Hessian(Probe):
    """λ_max and λ_min of the loss' Hessian and its trace; see `spectrum`.

    Args:
        method: `lanczos`, or `power`: λ of largest magnitude alone, with memory for two vectors.
        iterations, tolerance: of the method.
        probes: of the trace.
        data, loss, options: see `Probe`.
    """

    def __init__(
        self,
        data: Examples,
        loss: Callable[[Any, Any], Any],
        *,
        method: str = "lanczos",
        iterations: int = 20,
        tolerance: float = 1e-3,
        probes: int = 10,
        **options: Any,
    ) -> None:
        super().__init__(data, loss, **options)
        if method not in ("lanczos", "power"):
            raise ValueError(f"method is one of lanczos, power, not {method!r}")
        self.method, self.iterations, self.tolerance, self.probes = method, iterations, tolerance, probes

    @property
    def columns(self) -> tuple[str, ...]:
        """λ_max and its residual, λ_min (empty for `power`), the trace and its standard error."""
        ends = ("hessian_max", "hessian_max_residual", "hessian_min")
        return (*ends, "hessian_trace", "hessian_trace_error")

    def measure(self, epoch: int) -> dict[str, float | None]:
        """See `columns`."""
        values = lead(self.objective, self._search, 5)
        return {name: value for name, value in zip(self.columns, values, strict=True) if not np.isnan(value)}

    def _search(self, led: Led) -> list[float]:
        options: dict[str, Any] = {"iterations": self.iterations, "tolerance": self.tolerance, "seed": _SEED}
        if self.method == "lanczos":
            low, high = spectrum.lanczos(led.product, led.size, **options)
            lowest = low.value
        else:
            high, lowest = spectrum.power_iteration(led.product, led.size, **options), np.nan
        trace = spectrum.hutchinson(led.product, led.size, probes=self.probes, seed=_SEED)
        return [high.value, high.residual, lowest, trace.value, trace.standard_error]


class SignalToNoise(Probe):
    """Batch gradients along and across the full gradient, at the weights of an epoch's end (You et al. 2020).

    The full gradient is that over `examples` (None: all); the batches are drawn as training draws them. Both
    in inference mode: dropout and batch statistics would add a noise that is not the batch's.

    Args:
        batch_size: B.
        batches: how many batches are looked at.
        data, loss, options: see `Probe`.
    """

    def __init__(
        self,
        data: Examples,
        loss: Callable[[Any, Any], Any],
        *,
        batch_size: int,
        batches: int = 8,
        **options: Any,
    ) -> None:
        super().__init__(data, loss, **{"examples": None, **options})
        if batches < 1:
            raise ValueError(f"batches must be at least 1, not {batches}")
        self.batches = batches
        self._order = Order(len(data), batch_size, "continuous", _SEED)

    @property
    def columns(self) -> tuple[str, ...]:
        """E‖g∥‖/E‖g⊥‖, E‖g∥‖, E‖g⊥‖."""
        return ("signal_to_noise", "signal_norm", "noise_norm")

    def measure(self, epoch: int) -> dict[str, float | None]:
        """See `columns`."""
        objective = self.objective
        objective.choose(self.rows)
        full = objective.value_and_gradient()[1]
        if not (np.isfinite(full).all() and full.any()):
            return dict.fromkeys(self.columns)
        squares, dots = [], []
        for number in range(self.batches):
            objective.choose(self._order.step_indices(number))
            gradient = objective.value_and_gradient()[1]
            squares.append(float(gradient @ gradient))
            dots.append(float(gradient @ full))
        found = noise.signal_to_noise(squares, dots, float(full @ full))
        return dict(zip(self.columns, (found.ratio, found.along, found.across), strict=True))
