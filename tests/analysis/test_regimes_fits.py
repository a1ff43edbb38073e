"""Laws in the batch size: exact recovery, scipy as oracle, coverage of intervals, what cannot be fitted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import curve_fit

from horovod_lb.analysis.regimes.fits import CriticalBatch, epochs_by_batch, power_law

BATCHES = (64, 256, 1024, 4096, 16384)


def noisy(
    rng: np.random.Generator, spread: float, minimum: float = 5.0, critical: float = 1500.0
) -> list[float]:
    """Epochs on the curve with independent relative errors."""
    return [minimum * (1 + b / critical) * math.exp(spread * rng.normal()) for b in BATCHES]


def test_the_two_points_of_mccord_and_dash_have_the_exponent_one_half() -> None:
    law = power_law([7680, 30720], [5, 10])
    assert law is not None
    assert law.exponent == pytest.approx(0.5)
    assert (law.low, law.high, law.n) == (None, None, 2)
    assert law(15360) == pytest.approx(5 * math.sqrt(2))


def test_a_power_law_without_noise_is_recovered() -> None:
    law = power_law(BATCHES, [0.003 * b**0.8 for b in BATCHES])
    assert law is not None
    assert (law.factor, law.exponent, law.low, law.high) == pytest.approx((0.003, 0.8, 0.8, 0.8))


def test_a_power_law_is_the_regression_of_logarithms() -> None:
    y = [0.1, 0.17, 0.6, 0.9, 3.0]
    oracle = stats.linregress(np.log(BATCHES), np.log(y))
    half = stats.t.ppf(0.975, 3) * oracle.stderr
    law = power_law(BATCHES, y)
    assert law is not None
    assert law.exponent == pytest.approx(oracle.slope)
    assert (law.low, law.high) == pytest.approx((oracle.slope - half, oracle.slope + half))
    assert math.log(law.factor) == pytest.approx(oracle.intercept)


def test_values_without_a_logarithm_are_left_out() -> None:
    law = power_law([16, 64, 256, 1024, 4096], [0, 1, 2, None, math.nan])
    assert law is not None
    assert law.n == 2
    assert law.exponent == pytest.approx(0.5)


@pytest.mark.parametrize("x", [[], [256], [256, 256, 256]])
def test_one_batch_size_makes_no_power_law(x: list[int]) -> None:
    assert power_law(x, [1.0] * len(x)) is None


def test_epochs_without_noise_are_recovered() -> None:
    found = epochs_by_batch(BATCHES, [5 * (1 + b / 1500) for b in BATCHES])
    assert found is not None
    assert (found.minimum, found.critical) == pytest.approx((5, 1500), rel=1e-6)
    assert found.bounded
    assert found(3000) == pytest.approx(15)
    assert found.least_steps(60_000) == pytest.approx(60_000 * 5 / 1500)


def test_epochs_are_those_that_scipy_fits() -> None:
    epochs = noisy(np.random.default_rng(3), 0.15)
    batches = np.array(BATCHES, float)
    (minimum, critical), _ = curve_fit(
        lambda b, e, c: e + np.log1p(b / np.exp(c)), batches, np.log(epochs), p0=[1.0, 7.0]
    )
    found = epochs_by_batch(BATCHES, epochs)
    assert found is not None
    assert math.log(found.minimum) == pytest.approx(minimum, abs=1e-5)
    assert math.log(found.critical) == pytest.approx(critical, abs=1e-5)


def test_the_ends_of_an_interval_are_where_the_f_test_rejects() -> None:
    """Within (1 + F(1, n − 2)/(n − 2)) of the least sum of squares, the other parameter fitted again."""
    epochs = noisy(np.random.default_rng(3), 0.15)
    batches, logs = np.array(BATCHES, float), np.log(epochs)
    found = epochs_by_batch(BATCHES, epochs)
    assert found is not None and found.bounded

    def left(critical: float) -> float:
        return float(np.var(logs - np.log1p(batches / critical)) * len(batches))

    limit = left(found.critical) * (1 + stats.f.ppf(0.95, 1, 3) / 3)
    assert left(found.critical_low) == pytest.approx(limit, rel=1e-6)
    assert left(found.critical_high) == pytest.approx(limit, rel=1e-6)
    for end in (found.minimum_low, found.minimum_high):
        (critical,), _ = curve_fit(
            lambda b, c, end=end: math.log(end) + np.log1p(b / np.exp(c)), batches, logs, p0=[7.0]
        )
        rest = logs - math.log(end) - np.log1p(batches / math.exp(critical))
        assert float(rest @ rest) == pytest.approx(limit, rel=1e-4)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    found = [epochs_by_batch(BATCHES, noisy(rng, 0.1)) for _ in range(120)]
    fits = [fit for fit in found if fit is not None]
    assert len(fits) == 120
    for low, high, truth in (("critical_low", "critical_high", 1500), ("minimum_low", "minimum_high", 5)):
        inside = sum(getattr(fit, low) <= truth <= getattr(fit, high) for fit in fits)
        # A binomial of 120 draws of 0.95 is below 106 or above 119 once in 400 times.
        assert 106 <= inside <= 119


def test_flat_epochs_leave_the_critical_batch_size_open_above() -> None:
    found = epochs_by_batch(BATCHES, [5.0, 5.1, 4.9, 5.0, 5.05])
    assert found is not None
    assert found.critical_high == math.inf and not found.bounded
    assert 16384 < found.critical_low < math.inf


def test_epochs_in_proportion_to_the_batch_size_leave_it_open_below() -> None:
    rng = np.random.default_rng(1)
    found = epochs_by_batch(BATCHES, [0.01 * b * math.exp(0.05 * rng.normal()) for b in BATCHES])
    assert found is not None
    assert (found.critical_low, found.minimum_low) == (0.0, 0.0)
    assert found.critical_high < 64 and not found.bounded


def test_whole_epochs_are_not_taken_for_exact_ones() -> None:
    exact = epochs_by_batch(BATCHES, [5, 5, 5, 5, 5])
    rounded = epochs_by_batch(BATCHES, [5, 5, 5, 5, 5], resolution=1)
    assert exact is not None and rounded is not None
    assert (exact.critical_low, exact.critical_high) == (math.inf, math.inf)
    # Rounded 5s are 4.5 to 5.5: at 16384 the curve may have risen by a fifth or so, no more.
    assert 16384 < rounded.critical_low < math.inf
    assert rounded.minimum_low < 5 < rounded.minimum_high


@pytest.mark.parametrize("batches", [(), (256,), (256, 1024), (256, 256, 1024, 1024)])
def test_fewer_than_three_batch_sizes_are_refused(batches: tuple[int, ...]) -> None:
    assert epochs_by_batch(batches, [5.0] * len(batches)) is None


def test_a_minimum_that_is_not_known() -> None:
    nothing = CriticalBatch(0.0, 0.0, 1.0, 0.0, 0.0, 10.0, 5)
    assert math.isnan(nothing(64)) and math.isnan(nothing.least_steps(60_000))


def test_arrays_are_taken_and_what_is_no_positive_number_is_left_out() -> None:
    batches = np.array([256, 1024, 4096])
    law = power_law(batches, np.sqrt(batches))
    assert law is not None and law.exponent == pytest.approx(0.5)
    fit = epochs_by_batch(batches, 3 * (1 + batches / 500))
    assert fit is not None and fit.critical == pytest.approx(500) and fit.minimum == pytest.approx(3)
    others = [1, 0, -1, None, float("nan"), float("inf"), "1"]
    assert power_law([1, 2, 4, *others[1:]], [1, 2, 4, *others[1:]]) == power_law([1, 2, 4], [1, 2, 4])
