"""Fits of distances against NumPy's least squares, exact laws and random walks."""

from __future__ import annotations

import numpy as np
import pytest

from horovod_lb.measure.fits import Growth, Line, growth


def test_a_line_from_a_stream_is_numpys() -> None:
    stream = np.random.default_rng(0)
    x = 1e6 + stream.normal(size=500)  # far from 0, where plain sums of squares lose everything
    y = 3 * x + stream.normal(size=500)
    line = Line()
    for point in zip(x, y, strict=True):
        line.add(*point)
    fit = line.fit()
    slope, intercept = np.polyfit(x - 1e6, y, 1)
    assert fit.slope == pytest.approx(slope, rel=1e-9)
    assert fit.intercept + 1e6 * fit.slope == pytest.approx(intercept, rel=1e-9)
    assert fit.r_squared == pytest.approx(np.corrcoef(x - 1e6, y)[0, 1] ** 2, rel=1e-9)


def test_too_few_points_have_no_line() -> None:
    line = Line()
    for _ in range(5):
        assert line.fit() is None
        line.add(2.0, 1.0)
    assert line.fit() is None
    assert Growth().log is None and Growth().alpha is None


T = np.arange(1, 2001)


def test_laws_are_recovered_and_told_apart() -> None:
    log, root = (
        growth(zip(T, 0.3 + 2 * np.log(T), strict=True)),
        growth(zip(T, 0.1 + 0.5 * np.sqrt(T), strict=True)),
    )
    assert (log.log.slope, log.log.intercept, log.log.r_squared) == pytest.approx((2, 0.3, 1))
    assert log.root.r_squared < 0.9
    assert (root.root.slope, root.root.intercept, root.root.r_squared) == pytest.approx((0.5, 0.1, 1))
    assert root.log.r_squared < 0.9


@pytest.mark.parametrize("alpha", [1.0, 2.0, 4.0])
def test_the_exponent_of_a_diffusion(alpha: float) -> None:
    """‖w_t − w_0‖² = c·(log t)^(4/α)."""
    distances = np.sqrt(7 * np.log(T) ** (4 / alpha))
    found = growth(zip(T, distances, strict=True))
    assert found.alpha == pytest.approx(alpha) and found.diffusion.r_squared == pytest.approx(1)


def test_a_random_walk_grows_with_the_root() -> None:
    steps = np.random.default_rng(5).normal(size=(2000, 400))
    distances = np.linalg.norm(np.cumsum(steps, axis=0), axis=1)
    found = growth(zip(T, distances, strict=True))
    assert found.root.slope == pytest.approx(20, rel=0.03)  # √400
    assert found.root.r_squared > 0.99 > found.log.r_squared


def test_the_state_holds_everything() -> None:
    distances = np.log(T) + np.random.default_rng(6).normal(size=len(T)) / 10
    whole, first = growth(zip(T, distances, strict=True)), growth(zip(T[:700], distances[:700], strict=True))
    resumed = Growth(first.state)
    for point in zip(T[700:], distances[700:], strict=True):
        resumed.add(*point)
    assert np.array_equal(resumed.state, whole.state) and resumed.alpha == whole.alpha


def test_distances_that_shrink_or_are_not_finite() -> None:
    found = growth([(t, 1 / t) for t in range(1, 20)] + [(20, np.inf), (21, np.nan)])
    assert found.alpha is None and found.log.slope < 0 and np.isfinite(found.state).all()
