"""Bootstrap intervals against all resamples written out, scipy.stats.bootstrap, and closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from horovod_lb.analysis import bootstrap
from horovod_lb.analysis.bootstrap import interval_of_difference, interval_of_mean

# Accuracies as they are measured: whole numbers of examples.
accuracies = st.integers(0, 10_000).map(lambda right: right / 10_000)
SPREAD = [0.91, 0.93, 0.95, 0.90, 0.97, 0.92, 0.60, 0.96, 0.94, 0.89, 0.93, 0.95]


def every_resample(values: list[float]) -> np.ndarray:
    """The means of all n^n ordered resamples."""
    return np.array(
        [math.fsum(drawn) / len(values) for drawn in itertools.product(values, repeat=len(values))]
    )


def middle(means: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(means, [0.025, 0.975], method="inverted_cdf")
    return float(low), float(high)


@given(st.lists(accuracies, min_size=2, max_size=5))
def test_few_values_are_weighed_exactly(values: list[float]) -> None:
    assert interval_of_mean(values) == pytest.approx(middle(every_resample(values)), abs=1e-12)


def test_six_values_are_the_most_that_are_weighed_exactly() -> None:
    values = SPREAD[:6]
    assert len(values) == bootstrap.EXACT
    assert interval_of_mean(values) == pytest.approx(middle(every_resample(values)), abs=1e-12)


@given(st.lists(accuracies, min_size=2, max_size=3))
def test_of_two_and_three_values_it_is_the_smallest_and_the_largest(values: list[float]) -> None:
    assert interval_of_mean(values) == pytest.approx((min(values), max(values)))


@pytest.mark.parametrize("n", [4, 6, 7, 12])
def test_it_is_that_of_scipy(n: int) -> None:
    values = SPREAD[:n]
    expected = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=60_000, batch=10_000, random_state=3
    ).confidence_interval
    # The quantiles of random resamples have errors of their own, some hundredths of a standard error.
    tolerance = 0.06 * float(np.std(values, ddof=1)) / math.sqrt(n)
    assert interval_of_mean(values) == pytest.approx((expected.low, expected.high), abs=tolerance)


@pytest.mark.parametrize(("here", "there"), [(3, 4), (6, 5), (7, 3), (12, 9)])
def test_of_a_difference_it_is_that_of_scipy(here: int, there: int) -> None:
    ours, theirs = SPREAD[:here], [value - 0.05 * index for index, value in enumerate(SPREAD[-there:])]
    expected = stats.bootstrap(
        (ours, theirs),
        lambda a, b, axis: np.mean(a, axis) - np.mean(b, axis),
        method="percentile",
        n_resamples=60_000,
        batch=10_000,
        random_state=5,
    )
    found = expected.confidence_interval
    assert interval_of_difference(ours, theirs) == pytest.approx(
        (found.low, found.high), abs=0.1 * float(expected.standard_error)
    )


def test_a_difference_of_few_values_is_weighed_exactly() -> None:
    ours, theirs = [0.9, 0.95, 0.97], [0.7, 0.8]
    means = np.subtract.outer(every_resample(ours), every_resample(theirs)).ravel()
    assert interval_of_difference(ours, theirs) == pytest.approx(middle(means), abs=1e-12)


def test_equal_values_have_an_interval_of_no_width() -> None:
    for n in (2, 5, 20):
        assert interval_of_mean([0.75] * n) == pytest.approx((0.75, 0.75), abs=1e-15)


@given(st.lists(accuracies, min_size=2, max_size=12))
def test_it_stays_within_the_values_and_goes_along_with_them(values: list[float]) -> None:
    low, high = interval_of_mean(values)
    assert min(values) - 1e-12 <= low <= sum(values) / len(values) + 1e-12
    assert high <= max(values) + 1e-12
    errors = interval_of_mean([1 - value for value in values])
    # Drawn resamples of errors are those of accuracies, so that both say the same of them.
    assert errors == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_drawn_resamples_are_the_same_in_every_call_and_version() -> None:
    """Raw words of Philox are a published algorithm's; those of two sides must not be the same."""
    first = interval_of_mean(SPREAD)
    bootstrap._resamples.cache_clear()
    assert interval_of_mean(SPREAD) == first
    words = np.random.Philox(key=[12, 0]).random_raw(12)
    counts = np.bincount((words % np.uint64(12)).astype(int), minlength=12)
    assert (bootstrap._resamples(12, exact=False, stream=0)[0][0] * 12).tolist() == counts.tolist()
    low, high = interval_of_difference(SPREAD, SPREAD)
    assert low < 0 < high


@pytest.mark.parametrize(("n", "covered"), [(2, 0.5), (3, 0.75), (5, 0.84), (10, 0.905)])
def test_how_often_it_holds_the_mean_is_what_the_manual_says(n: int, covered: float) -> None:
    """For 2 and 3 values 1 − 2^(1−n), the chance that they are not all on one side of the median."""
    samples = np.random.default_rng(7).normal(size=(600, n))
    held = [low <= 0 <= high for low, high in map(interval_of_mean, samples.tolist())]
    assert np.mean(held) == pytest.approx(covered, abs=4 * math.sqrt(covered * (1 - covered) / 600))
