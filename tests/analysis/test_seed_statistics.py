"""Summaries against scipy.stats, published quantiles and sums written out."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from horovod_lb.analysis.statistics import binomial_tail, student_quantile, summarize

pytestmark = pytest.mark.filterwarnings("ignore:Precision loss occurred")  # scipy's, on equal values

accuracies = st.lists(st.floats(0, 1), min_size=2, max_size=30)


@given(accuracies)
def test_summary_is_that_of_scipy(values: list[float]) -> None:
    found = summarize(values)
    assert found.n == len(values)
    assert found.mean == pytest.approx(stats.tmean(values), abs=1e-12)
    assert found.std == pytest.approx(stats.tstd(values), abs=1e-9)
    if stats.tstd(values) > 1e-9:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=stats.tmean(values), scale=stats.sem(values))
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=20))
def test_interval_of_differences_is_the_paired_t_interval(pairs: list[tuple[float, float]]) -> None:
    here, there = zip(*pairs, strict=True)
    differences = [a - b for a, b in pairs]
    if stats.tstd(differences) < 1e-6:
        return
    expected = stats.ttest_rel(here, there).confidence_interval(0.95)
    found = summarize(differences)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (30, 2.042), (120, 1.980)]
)
def test_quantiles_are_those_of_the_printed_table(degrees: int, quantile: float) -> None:
    assert student_quantile(degrees) == pytest.approx(quantile, abs=5e-4)


def test_hand_computed() -> None:
    found = summarize([0.90, 0.92, 0.94])
    half = 4.302652729696142 * 0.02 / math.sqrt(3)
    assert (found.mean, found.std) == pytest.approx((0.92, 0.02))
    assert (found.low, found.high) == pytest.approx((0.92 - half, 0.92 + half))


def test_one_value_has_no_spread_and_none_has_nothing() -> None:
    assert summarize([0.5]) == summarize([0.5]).__class__(1, 0.5, None, None, None)
    assert summarize([]).n == 0
    assert summarize([]).mean is None


def test_equal_values_have_an_interval_of_no_width() -> None:
    found = summarize([0.7] * 4)
    assert (found.std, found.low, found.high) == (0.0, found.mean, found.mean)


@given(st.integers(0, 40), st.integers(1, 40), st.floats(0.01, 0.99))
def test_binomial_tail_is_the_sum(successes: int, trials: int, probability: float) -> None:
    expected = sum(
        math.comb(trials, k) * probability**k * (1 - probability) ** (trials - k)
        for k in range(successes, trials + 1)
    )
    assert binomial_tail(successes, trials, probability) == pytest.approx(expected, abs=1e-9)
