"""Noise scale and signal-to-noise ratio of Gaussian gradients whose mean and covariance are known."""

from __future__ import annotations

import numpy as np
import pytest

from horovod_lb.measure.scale import Averages, Noise, from_groups, signal_to_noise

STREAM = np.random.default_rng(8)
MEAN = STREAM.normal(size=50)
DEVIATION = STREAM.uniform(0.5, 3.0, 50)
SQUARE, VARIANCE = float(MEAN @ MEAN), float(DEVIATION @ DEVIATION)


def measured(sizes: list[int], stream: np.random.Generator) -> Noise:
    """One step: mean gradients of parts of these sizes, each example's being N(MEAN, DEVIATION²)."""
    parts = [MEAN + DEVIATION * stream.normal(size=50) / np.sqrt(size) for size in sizes]
    batch = sum(sizes)
    whole = sum(size * part for size, part in zip(sizes, parts, strict=True)) / batch
    squares = sum(size * float(part @ part) for size, part in zip(sizes, parts, strict=True))
    return from_groups(squares, len(sizes), float(whole @ whole), batch)


@pytest.mark.parametrize("sizes", [[8, 8], [4] * 16, [1, 2, 13, 30]])
def test_estimates_are_unbiased_for_equal_and_unequal_parts(sizes: list[int]) -> None:
    stream = np.random.default_rng(9)
    found = [measured(sizes, stream) for _ in range(4000)]
    for name, expected in (("gradient_square", SQUARE), ("variance", VARIANCE)):
        values = np.array([getattr(noise, name) for noise in found])
        assert abs(values.mean() - expected) < 4 * values.std() / np.sqrt(len(values))


def test_equal_parts_are_the_pair_formula() -> None:
    """KungFu's and McCandlish's: |G|² = (B|g_B|² − b|g_b|²)/(B − b), S = (|g_b|² − |g_B|²)/(1/b − 1/B)."""
    small, large, b, batch = 7.3, 2.1, 16, 64
    found = from_groups(4 * b * small, 4, large, batch)
    assert found.gradient_square == pytest.approx((batch * large - b * small) / (batch - b))
    assert found.variance == pytest.approx((small - large) / (1 / b - 1 / batch))


def test_no_noise_and_no_signal() -> None:
    assert from_groups(64 * 2.5, 4, 2.5, 64) == Noise(2.5, 0.0)
    with pytest.raises(ValueError, match="at least 2 groups to compare, not 1"):
        from_groups(1.0, 1, 1.0, 8)


def test_the_ratio_of_averages() -> None:
    stream, averages = np.random.default_rng(10), Averages(decay=0.999)
    assert averages.noise is None and averages.scale is None
    for _ in range(6000):
        averages.add(measured([4] * 8, stream))
    assert averages.scale == pytest.approx(VARIANCE / SQUARE, rel=0.05)


def test_averages_of_a_constant_are_it_from_the_first_step_on() -> None:
    averages = Averages(decay=0.9)
    for step in range(3):
        averages.add(Noise(2.0, 6.0) if step != 1 else Noise(np.inf, 1.0))
        assert averages.noise.gradient_square == pytest.approx(2.0)
        assert averages.scale == pytest.approx(3.0)
    again = Averages(0.9, averages.state)
    again.add(Noise(4.0, 6.0))
    averages.add(Noise(4.0, 6.0))
    assert again.scale == averages.scale
    # By hand: weights 0.09, 0.1·0.9 ... of 2, 2, 4 with decay 0.9.
    weights = np.array([0.81, 0.9, 1.0])
    assert averages.noise.gradient_square == pytest.approx(weights @ [2, 2, 4] / weights.sum())


def test_a_negative_square_has_no_scale() -> None:
    averages = Averages()
    averages.add(Noise(-1.0, 5.0))
    assert averages.scale is None and averages.noise.variance == pytest.approx(5)
    with pytest.raises(ValueError, match=r"decay must be in \[0, 1\), not 1"):
        Averages(1)


def test_signal_to_noise_by_projection() -> None:
    full = STREAM.normal(size=20)
    gradients = [full + STREAM.normal(size=20) for _ in range(9)]
    unit = full / np.linalg.norm(full)
    along = [abs(g @ unit) for g in gradients]
    across = [np.linalg.norm(g - (g @ unit) * unit) for g in gradients]
    found = signal_to_noise([g @ g for g in gradients], [g @ full for g in gradients], full @ full)
    assert (found.along, found.across) == pytest.approx((np.mean(along), np.mean(across)))
    assert found.ratio == pytest.approx(np.mean(along) / np.mean(across))


def test_signal_grows_as_the_root_of_the_batch() -> None:
    """Isotropic noise in many dimensions: ‖g⊥‖ ≈ √(tr Σ/B), so the ratio is √B·‖G‖/√(tr Σ)."""
    stream, full = np.random.default_rng(11), np.ones(4000)
    for batch in (4, 16, 64):
        gradients = [full + 3 * stream.normal(size=4000) / np.sqrt(batch) for _ in range(5)]
        found = signal_to_noise([g @ g for g in gradients], [g @ full for g in gradients], full @ full)
        assert found.ratio == pytest.approx(np.sqrt(batch) / 3, rel=0.03)
    assert signal_to_noise([4000.0], [4000.0], 4000.0).ratio == np.inf
    with pytest.raises(ValueError, match="the full gradient is 0"):
        signal_to_noise([1.0], [0.0], 0.0)
