"""Sharpness of a function around a point: Keskar's φ, and the rise within a ball as SAM bounds it.

Pure functions: `f` is whatever returns (value, gradient) at a float64 vector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Function = Callable[[Vector], tuple[float, Vector]]


@dataclass(frozen=True)
class Sharpness:
    """`value` f(x), `highest` the largest f found in the neighbourhood, `evaluations` of f and its gradient.

    `highest` is a lower bound of the maximum: it is searched for by a few steps.
    """

    value: float
    highest: float
    evaluations: int

    @property
    def phi(self) -> float:
        """100 · (highest − value)/(1 + value): Keskar et al. 2017, metric 2.1."""
        return 100.0 * self.rise / (1.0 + self.value)

    @property
    def rise(self) -> float:
        """highest − value: what SAM's inner maximum adds to the loss (Foret et al. 2021)."""
        return self.highest - self.value


class _Climb:
    """Calls `f` and keeps the highest finite value it saw."""

    def __init__(self, f: Function, x: Vector) -> None:
        self._f = f
        self.value, self.gradient = f(x)
        self.highest, self.evaluations = self.value, 1

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        value, gradient = self._f(x)
        self.evaluations += 1
        if np.isfinite(value):
            self.highest = max(self.highest, value)
        return value, gradient

    def result(self) -> Sharpness:
        return Sharpness(self.value, self.highest, self.evaluations)


def random_subspace(size: int, dimensions: int, seed: int | tuple[int, ...] = 0) -> NDArray[np.float64]:
    """A random matrix A float64 [size, dimensions] of independent standard normal entries."""
    if not 1 <= dimensions <= size:
        raise ValueError(f"dimensions must be 1 to {size}, the number of weights, not {dimensions}")
    return np.random.default_rng(seed).standard_normal((size, dimensions))


def keskar(
    f: Function,
    x: Vector,
    *,
    epsilon: float = 1e-3,
    subspace: NDArray[np.float64] | None = None,
    iterations: int = 10,
    seed: int | tuple[int, ...] = 0,
) -> Sharpness:
    """φ over the box C_ε = {z: |z_i| ≤ ε·(|(A⁺x)_i| + 1)}, f taken at x + A·z (Keskar et al. 2017, eq. 3-4).

    The maximum is searched for by L-BFGS-B, as in the paper, from z = 0; where the gradient is 0 there, from
    a random point of the box.

    Args:
        f: value and gradient at float64 [n].
        x: float64 [n].
        epsilon: ε > 0; the paper's are 1e-3 and 5e-4.
        subspace: A, [n, p] (`random_subspace`), whose pseudo-inverse is A⁺; default: the identity.
        iterations: of L-BFGS-B at most.
        seed: of the random start.
    """
    from scipy.optimize import minimize

    if not epsilon > 0:
        raise ValueError(f"epsilon must be a number > 0, not {epsilon}")
    x = np.asarray(x, np.float64)
    inside = x if subspace is None else np.linalg.lstsq(subspace, x, rcond=None)[0]
    bound = epsilon * (np.abs(inside) + 1.0)
    climb = _Climb(f, x)

    def down(z: Vector) -> tuple[float, Vector]:
        value, gradient = climb(x + (z if subspace is None else subspace @ z))
        return -value, -(gradient if subspace is None else subspace.T @ gradient)

    start = np.zeros_like(bound)
    if not np.any(climb.gradient if subspace is None else subspace.T @ climb.gradient):
        start = bound * np.random.default_rng(seed).uniform(-1.0, 1.0, bound.shape)
    minimize(
        down,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=np.stack([-bound, bound], axis=1),
        options={"maxiter": iterations},
    )
    return climb.result()


def in_ball(f: Function, x: Vector, *, rho: float = 0.05, steps: int = 1, seed: int = 0) -> Sharpness:
    """max f(x + e) over ‖e‖₂ ≤ ρ, as SAM sees it (Foret et al. 2021).

    One step is SAM's own: e = ρ·g/‖g‖. Several are projected ascent from there: e ← P(e + s·g/‖g‖) with g at
    x + e, P the projection onto the ball, s = ρ for the first half of the steps, and falling to 0 in the
    second. Where the gradient at x is 0, a random direction takes its place.

    Args:
        f: value and gradient at float64 [n].
        x: float64 [n].
        rho: ρ > 0.
        steps: ≥ 1; each costs one evaluation.
        seed: of the random direction.
    """
    if not rho > 0:
        raise ValueError(f"rho must be a number > 0, not {rho}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    x = np.asarray(x, np.float64)
    climb = _Climb(f, x)
    gradient = climb.gradient
    if not np.any(gradient):
        gradient = np.random.default_rng(seed).standard_normal(x.shape)
    offset = np.zeros_like(x)
    for step in range(steps):
        norm = float(np.linalg.norm(gradient))
        if not (np.isfinite(norm) and norm > 0):
            break
        size = rho * min(1.0, 2.0 * (1.0 - step / steps))
        offset = offset + size * gradient / norm
        length = float(np.linalg.norm(offset))
        if length > rho:
            offset *= rho / length
        _, gradient = climb(x + offset)
    return climb.result()
