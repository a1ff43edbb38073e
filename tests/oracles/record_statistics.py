"""Record what statsmodels says of means and their intervals, as statistics.npz beside this file.

    python tests/oracles/record_statistics.py

Each case is two lists of accuracies, and statsmodels' mean, standard deviation (ddof 1) and 95 % intervals:
of the mean of the first, of their difference as unequal variances have it, and, where both are as long, of
the mean of the differences.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

CASES = [
    ([0.9082, 0.9114, 0.9095], [0.9147, 0.9121, 0.9139]),
    ([0.9810, 0.9834], [0.9702, 0.9791]),
    ([0.7412, 0.7398, 0.7431, 0.7405, 0.7390], [0.7610, 0.7588, 0.7602]),
    ([0.9922, 0.9910, 0.9934, 0.9341, 0.9928], [0.9902, 0.9886, 0.9916, 0.9899, 0.9907]),
    ([0.1135, 0.9804, 0.9811, 0.9807], [0.9790, 0.9795, 0.9788, 0.9781]),
    (
        np.random.default_rng(6).normal(0.76, 0.004, 30).tolist(),
        np.random.default_rng(7).normal(0.757, 0.001, 12).tolist(),
    ),
]


def answers(here: list[float], there: list[float]) -> dict[str, list[float]]:
    """statsmodels' numbers for one case."""
    one = DescrStatsW(here, ddof=1)
    found = {
        "here": here,
        "there": there,
        "summary": [one.mean, one.std, *one.tconfint_mean(0.05)],
        "unpaired": list(
            CompareMeans(DescrStatsW(here), DescrStatsW(there)).tconfint_diff(0.05, usevar="unequal")
        ),
    }
    if len(here) == len(there):
        found["paired"] = list(DescrStatsW(np.subtract(here, there)).tconfint_mean(0.05))
    return {name: [float(value) for value in values] for name, values in found.items()}


if __name__ == "__main__":
    cases: dict[str, Any] = {f"case{number}": json.dumps(answers(*case)) for number, case in enumerate(CASES)}
    np.savez_compressed(Path(__file__).with_name("statistics.npz"), cases=len(CASES), **cases)
