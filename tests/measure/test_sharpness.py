"""Sharpness of quadratics, whose maximum over a box and over a ball is known."""

from __future__ import annotations

import numpy as np
import pytest

from horovod_lb.measure.sharpness import in_ball, keskar, random_subspace

RNG = np.random.default_rng(4)
CURVATURES = RNG.uniform(0.1, 5.0, 30)
POINT = RNG.normal(size=30)


def diagonal(x: np.ndarray) -> tuple[float, np.ndarray]:
    """f(x) = ½ Σ d_i x_i²."""
    return 0.5 * float(CURVATURES @ x**2), CURVATURES * x


@pytest.mark.parametrize("epsilon", [1e-3, 5e-4, 0.2])
def test_phi_over_a_box_is_that_of_its_farthest_corner(epsilon: float) -> None:
    found = keskar(diagonal, POINT, epsilon=epsilon)
    away = np.abs(POINT) + epsilon * (np.abs(POINT) + 1)
    value, highest = diagonal(POINT)[0], 0.5 * float(CURVATURES @ away**2)
    assert found.value == pytest.approx(value)
    assert found.highest == pytest.approx(highest, rel=1e-9)
    assert found.phi == pytest.approx(100 * (highest - value) / (1 + value), rel=1e-6)


def test_phi_at_a_stationary_point_starts_at_random() -> None:
    found = keskar(diagonal, np.zeros(30), epsilon=0.1, iterations=50)
    assert found.phi == pytest.approx(100 * 0.5 * CURVATURES.sum() * 0.1**2, rel=1e-6)


def test_phi_in_a_subspace_against_all_corners_of_its_box() -> None:
    """Three dimensions: the maximum of a convex function is at one of the eight corners."""
    subspace, epsilon = random_subspace(30, 3, seed=7), 0.05
    bound = epsilon * (np.abs(np.linalg.pinv(subspace) @ POINT) + 1)
    signs = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T
    highest = max(diagonal(POINT + subspace @ (corner * bound))[0] for corner in signs)
    found = keskar(diagonal, POINT, epsilon=epsilon, subspace=subspace, iterations=30)
    assert found.highest == pytest.approx(highest, rel=1e-6)


def test_no_more_iterations_than_asked_for() -> None:
    """Each of L-BFGS-B's iterations here is one line search of few evaluations."""
    flat = keskar(lambda x: (1.0, np.ones_like(x)), POINT, iterations=1)
    assert flat.phi == 0 and flat.evaluations < 60
    one = keskar(diagonal, POINT, epsilon=0.5, iterations=1)
    ten = keskar(diagonal, POINT, epsilon=0.5, iterations=10)
    assert one.evaluations < ten.evaluations
    assert one.highest <= ten.highest


def test_a_function_that_falls_everywhere_has_no_sharpness() -> None:
    found = keskar(lambda x: (1.0 - float(x @ x), -2 * x), np.zeros(5), epsilon=0.1)
    assert found.phi == 0


def test_one_step_in_the_ball_is_sams() -> None:
    gradient = CURVATURES * POINT
    step = 0.3 * gradient / np.linalg.norm(gradient)
    found = in_ball(diagonal, POINT, rho=0.3)
    assert found.rise == pytest.approx(diagonal(POINT + step)[0] - diagonal(POINT)[0], rel=1e-12)
    assert found.evaluations == 2


def trust_region(rho: float) -> float:
    """max ½ Σ d(x + e)² over ‖e‖ ≤ ρ: d(x + e) = μe with μ > max d and ‖e‖ = ρ (Lagrange), by bisection."""
    low, high = CURVATURES.max() * (1 + 1e-12), 1e6
    for _ in range(200):
        middle = (low + high) / 2
        length = np.linalg.norm(CURVATURES * POINT / (middle - CURVATURES))
        low, high = (middle, high) if length > rho else (low, middle)
    return diagonal(POINT + CURVATURES * POINT / (low - CURVATURES))[0]


@pytest.mark.parametrize("rho", [0.05, 1.0, 4.0])
def test_projected_ascent_finds_the_maximum_in_the_ball(rho: float) -> None:
    one, many = (in_ball(diagonal, POINT, rho=rho, steps=steps) for steps in (1, 60))
    assert one.highest <= many.highest <= trust_region(rho) * (1 + 1e-9)
    assert many.highest == pytest.approx(trust_region(rho), rel=1e-5)


def test_the_ball_around_a_minimum_gives_half_rho_squared_lambda_max() -> None:
    found = in_ball(diagonal, np.zeros(30), rho=0.2, steps=400)
    assert found.rise == pytest.approx(0.5 * 0.2**2 * CURVATURES.max(), rel=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: keskar(diagonal, POINT, epsilon=0), "epsilon must be a number > 0, not 0"),
        (lambda: in_ball(diagonal, POINT, rho=-1), "rho must be a number > 0, not -1"),
        (lambda: in_ball(diagonal, POINT, steps=0), "steps must be at least 1, not 0"),
        (lambda: random_subspace(3, 4), "dimensions must be 1 to 3, the number of weights, not 4"),
    ],
)
def test_bad_options_are_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
