"""Of a symmetric matrix that is known by its products with vectors alone: eigenvalues and trace.

Pure functions of `product`: float64 [n] -> float64 [n], for a loss the Hessian-vector product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Product = Callable[[Vector], Vector]
Seed = int | tuple[int, ...]


@dataclass(frozen=True)
class Eigenvalue:
    """An approximate eigenvalue; a true one lies within `residual` = ‖Hv − value·v‖, v being of length 1."""

    value: float
    residual: float
    products: int


@dataclass(frozen=True)
class Trace:
    """An unbiased estimate and the standard error of its mean; NaN for a single probe."""

    value: float
    standard_error: float
    products: int


def power_iteration(
    product: Product, size: int, *, iterations: int = 100, tolerance: float = 1e-3, seed: Seed = 0
) -> Eigenvalue:
    """The eigenvalue of largest magnitude, by v ← Hv/‖Hv‖ from a random v.

    It ends when the residual is at most `tolerance` times the value, or after `iterations` products. For a
    loss near a minimum it is λ_max; where a negative eigenvalue is larger in magnitude it is that one, and
    `lanczos` tells the two ends apart. Needs two vectors of memory.
    """
    vector = _unit(np.random.default_rng(seed).standard_normal(size))
    value = residual = np.nan
    for count in range(1, iterations + 1):
        image = product(vector)
        value = float(vector @ image)
        residual = float(np.linalg.norm(image - value * vector))
        norm = float(np.linalg.norm(image))
        if not residual > tolerance * abs(value) or norm == 0.0:
            return Eigenvalue(value, residual, count)
        vector = image / norm
    return Eigenvalue(value, residual, iterations)


def lanczos(
    product: Product, size: int, *, iterations: int = 20, tolerance: float = 1e-3, seed: Seed = 0
) -> tuple[Eigenvalue, Eigenvalue]:
    """The algebraically smallest and largest eigenvalue (λ_min, λ_max), by Lanczos' method.

    Every new vector is made orthogonal to all before (Golub and Van Loan, ch. 10), so that no eigenvalue
    appears twice; memory is `iterations` vectors. It ends early when the residual of λ_max is at most
    `tolerance` times its value, and when the space is exhausted, where both are exact.
    """
    basis = [_unit(np.random.default_rng(seed).standard_normal(size))]
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        image = product(basis[-1])
        diagonal.append(float(basis[-1] @ image))
        for _ in range(2):  # once is not enough in floating point, twice is
            for vector in basis:
                image = image - (vector @ image) * vector
        norm = float(np.linalg.norm(image))
        if not np.isfinite(norm):
            unknown = Eigenvalue(np.nan, np.nan, len(diagonal))
            return unknown, unknown
        values, vectors = np.linalg.eigh(_tridiagonal(diagonal, beside))
        low, high = (
            Eigenvalue(float(values[end]), abs(norm * float(vectors[-1, end])), len(diagonal))
            for end in (0, -1)
        )
        exhausted = norm <= 1e-12 * max(abs(low.value), abs(high.value), 1e-300)
        if (
            exhausted
            or high.residual <= tolerance * abs(high.value)
            or len(diagonal) == min(iterations, size)
        ):
            return low, high
        basis.append(image / norm)
        beside.append(norm)


def hutchinson(product: Product, size: int, *, probes: int = 10, seed: Seed = 0) -> Trace:
    """tr H = E[vᵀHv] over Rademacher vectors v, entries ±1 (Hutchinson 1990).

    Its variance is 2·Σ_{i≠j} H_ij² a probe: exact for a diagonal matrix.
    """
    if probes < 1:
        raise ValueError(f"probes must be at least 1, not {probes}")
    stream = np.random.default_rng(seed)
    found = []
    for _ in range(probes):
        vector = stream.integers(0, 2, size).astype(np.float64) * 2.0 - 1.0
        found.append(float(vector @ product(vector)))
    error = float(np.std(found, ddof=1) / np.sqrt(probes)) if probes > 1 else np.nan
    return Trace(float(np.mean(found)), error, probes)


def _tridiagonal(diagonal: list[float], beside: list[float]) -> NDArray[np.float64]:
    return np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)


def _unit(vector: Vector) -> Vector:
    return vector / float(np.linalg.norm(vector))
