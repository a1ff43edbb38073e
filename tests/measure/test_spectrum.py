"""Eigenvalues and traces of matrices that NumPy knows them of."""

from __future__ import annotations

import numpy as np
import pytest

from horovod_lb.measure.spectrum import hutchinson, lanczos, power_iteration


def symmetric(size: int, seed: int) -> np.ndarray:
    matrix = np.random.default_rng(seed).normal(size=(size, size))
    return (matrix + matrix.T) / 2


def with_spectrum(values: list[float], seed: int = 0) -> np.ndarray:
    basis, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))
    return basis @ np.diag(values) @ basis.T


@pytest.mark.parametrize("seed", range(3))
def test_lanczos_finds_both_ends_of_an_indefinite_spectrum(seed: int) -> None:
    matrix = symmetric(60, seed)
    values = np.linalg.eigvalsh(matrix)
    low, high = lanczos(matrix.__matmul__, 60, iterations=60, tolerance=1e-10)
    assert high.value == pytest.approx(values[-1], rel=1e-9)
    assert low.value == pytest.approx(values[0], rel=1e-6)
    assert high.residual <= 1e-10 * high.value * 1.001


def test_an_eigenvalue_lies_within_the_residual_before_convergence() -> None:
    matrix = symmetric(200, 9)
    values = np.linalg.eigvalsh(matrix)
    for found in (
        *lanczos(matrix.__matmul__, 200, iterations=8),
        power_iteration(matrix.__matmul__, 200, iterations=8),
    ):
        assert found.products == 8 and found.residual > 1e-3
        assert np.abs(values - found.value).min() <= found.residual * (1 + 1e-9)


def test_lanczos_ends_when_the_space_is_exhausted() -> None:
    """Two different eigenvalues: two products tell all."""
    matrix = with_spectrum([3.0] * 5 + [-7.0] * 4)
    low, high = lanczos(matrix.__matmul__, 9, iterations=9, tolerance=0)
    assert (low.value, high.value) == (pytest.approx(-7), pytest.approx(3))
    assert high.products <= 3
    zero, _ = lanczos(lambda v: 0 * v, 5)
    assert zero.value == 0 and zero.products == 1


def test_power_iteration_finds_the_largest_magnitude_with_its_sign() -> None:
    for values in ([9.0, 4, 1, -3, 0.5], [-9.0, 4, 1, 3, 0.5]):
        found = power_iteration(with_spectrum(values).__matmul__, 5, iterations=200, tolerance=1e-8)
        assert found.value == pytest.approx(values[0], rel=1e-8)
        assert found.products < 200


def test_hutchinson_is_exact_for_diagonals_and_unbiased_else() -> None:
    values = np.random.default_rng(1).normal(size=40)
    assert hutchinson(lambda v: values * v, 40, probes=1).value == pytest.approx(values.sum())
    matrix = symmetric(40, 2)
    found = hutchinson(matrix.__matmul__, 40, probes=4000, seed=3)
    variance = 2 * (np.sum(matrix**2) - np.sum(np.diag(matrix) ** 2))
    assert found.standard_error == pytest.approx(np.sqrt(variance / 4000), rel=0.1)
    assert abs(found.value - np.trace(matrix)) < 4 * found.standard_error


def test_no_probes_are_refused() -> None:
    with pytest.raises(ValueError, match="probes must be at least 1, not 0"):
        hutchinson(lambda v: v, 3, probes=0)
