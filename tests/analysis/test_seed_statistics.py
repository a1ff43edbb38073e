"""Summaries against scipy.stats, recorded answers of statsmodels, printed quantiles, sums written out."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from horovod_lb.analysis.statistics import binomial_tail, student_quantile, summarize, welch

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


@given(accuracies, accuracies)
def test_intervals_of_unpaired_runs_are_welchs(here: list[float], there: list[float]) -> None:
    if min(stats.tstd(here), stats.tstd(there)) < 1e-6:
        return
    expected = stats.ttest_ind(here, there, equal_var=False).confidence_interval(0.95)
    (low, high), _ = welch(here, there)
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-9)


def test_welch_by_hand() -> None:
    """s² = 0.0004 and 0.0002, n = 4 and 2: error² = 0.0001 + 0.0001.

    (0.0002)² / (0.0001²/3 + 0.0001²/1) = 3 degrees of freedom.
    """
    side = 0.02 * math.sqrt(3) / 2  # four values of which two are as far up as the other two are down
    here = [0.9 - side, 0.9 - side, 0.9 + side, 0.9 + side]
    (low, high), _ = welch(here, [0.79, 0.81])
    half = 3.182446305 * math.sqrt(0.0002)
    assert (low, high) == pytest.approx((0.1 - half, 0.1 + half), abs=1e-9)


def test_welch_needs_two_values_on_both_sides_and_equal_ones_have_no_width() -> None:
    assert welch([0.5], [0.1, 0.2]) == ((None, None), (None, None))
    assert welch([0.1, 0.2], []) == ((None, None), (None, None))
    assert welch([0.75, 0.75], [0.5, 0.5, 0.5]) == ((0.25, 0.25), (0.25, 0.25))
    # A side without spread adds no degrees of freedom to the other's.
    (low, high), _ = welch([0.4, 0.6], [0.5, 0.5, 0.5])
    assert (low, high) == pytest.approx((-1.270620474, 1.270620474))


ORACLE = np.load(Path(__file__).parents[1] / "oracles" / "statistics.npz")


@pytest.mark.parametrize("number", range(int(ORACLE["cases"])))
def test_answers_are_those_of_statsmodels(number: int) -> None:
    """Mean, standard deviation, intervals of a mean, of paired and of unpaired differences."""
    case = json.loads(str(ORACLE[f"case{number}"]))
    here, there = case["here"], case["there"]
    found = summarize(here)
    assert [found.mean, found.std, found.low, found.high] == pytest.approx(case["summary"], rel=1e-9)
    (low, high), _ = welch(here, there)
    assert [low, high] == pytest.approx(case["unpaired"], rel=1e-9)
    if len(here) == len(there):
        found = summarize([a - b for a, b in zip(here, there, strict=True)])
        assert [found.low, found.high] == pytest.approx(case["paired"], rel=1e-8)


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
