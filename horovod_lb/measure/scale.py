"""The gradient noise scale and the signal-to-noise ratio, from norms of gradients: plain arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Noise:
    """Estimates of |G|², the squared norm of the true gradient, and of tr Σ, the noise of one example's.

    A single step's |G|² may well be negative; average many steps before dividing (`Averages`).
    """

    gradient_square: float
    variance: float


def from_groups(square_sum: float, groups: int, reduced_square: float, batch: int) -> Noise:
    """Unbiased |G|² and tr Σ from the gradients g_i of the parts of one batch and their mean.

    E‖g_i‖² = |G|² + tr Σ/n_i for a part of n_i examples and E‖g‖² = |G|² + tr Σ/B for the whole batch
    (McCandlish et al. 2018, appendix A.1), so with m parts

        tr Σ = (Σ_i n_i‖g_i‖² − B·‖g‖²)/(m − 1),    |G|² = ‖g‖² − tr Σ/B,

    which for equal parts n_i = n is the pair formula (‖g_n‖² − ‖g‖²)/(1/n − 1/B), averaged over the parts.
    It holds for unequal parts as well.

    Args:
        square_sum: Σ_i n_i‖g_i‖².
        groups: m ≥ 2, the parts that have examples.
        reduced_square: ‖g‖², of the mean over the whole batch.
        batch: B.
    """
    if groups < 2:
        raise ValueError(f"the noise scale needs at least 2 groups to compare, not {groups}")
    variance = (square_sum - batch * reduced_square) / (groups - 1)
    return Noise(reduced_square - variance / batch, variance)


class Averages:
    """Exponential moving averages of |G|² and tr Σ, and their ratio, the simple noise scale.

    B_simple = tr Σ/|G|²: the batch size at which noise and signal of a step are equally large. Ratio of
    averages, not average of ratios, which would be biased and could divide by 0. `state` is float64 [3]:
    both averages and the weight of what they hold, by which they are corrected for having begun at 0.
    """

    def __init__(self, decay: float = 0.99, state: NDArray[np.float64] | None = None) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1), not {decay}")
        self.decay = decay
        self.state = np.zeros(3) if state is None else np.array(state, np.float64)

    def add(self, noise: Noise) -> None:
        """One more step; one that is not finite (skipped by loss scaling) is left out."""
        point = np.array([noise.gradient_square, noise.variance, 1.0])
        if np.isfinite(point).all():
            self.state += (1.0 - self.decay) * (point - self.state)

    @property
    def noise(self) -> Noise | None:
        """The averages; None before the first step."""
        square, variance, weight = (float(value) for value in self.state)
        return Noise(square / weight, variance / weight) if weight else None

    @property
    def scale(self) -> float | None:
        """B_simple in examples; None where the averages say nothing: |G|² not above 0."""
        noise = self.noise
        return noise.variance / noise.gradient_square if noise and noise.gradient_square > 0 else None


@dataclass(frozen=True)
class Signal:
    """Means over batches of the lengths of a gradient along the true gradient and across it."""

    along: float
    across: float

    @property
    def ratio(self) -> float:
        """E‖g∥‖/E‖g⊥‖ (You et al. 2020, §6.1); infinite where there is no noise."""
        return self.along / self.across if self.across else np.inf


def signal_to_noise(squares: Sequence[float], dots: Sequence[float], full_square: float) -> Signal:
    """From ‖g_b‖² and g_b·G of some batches, and ‖G‖² of the full gradient.

    g∥ = (g·G/‖G‖²)·G and g⊥ = g − g∥, so ‖g∥‖ = |g·G|/‖G‖ and ‖g⊥‖² = ‖g‖² − ‖g∥‖².
    """
    if not full_square > 0:
        raise ValueError("the full gradient is 0: there is no direction to measure along")
    along = np.abs(np.asarray(dots, np.float64)) / np.sqrt(full_square)
    across = np.sqrt(np.maximum(np.asarray(squares, np.float64) - along**2, 0.0))
    return Signal(float(along.mean()), float(across.mean()))
