"""The regimes of You et al. 2020: accuracy by batch size, the baseline's, and where the boundaries lie."""

from __future__ import annotations

from collections.abc import Sequence

from horovod_lb.analysis.figures.by_batch import Chart, Series, Spot, draw
from horovod_lb.analysis.figures.drawn import Drawn, Kind
from horovod_lb.analysis.figures.finals import INTERVAL, counts, finals
from horovod_lb.analysis.points import Point
from horovod_lb.analysis.regimes.baseline import Baseline, baseline
from horovod_lb.analysis.regimes.boundaries import Boundary, full_batch, huge_batch, large_batch
from horovod_lb.analysis.regimes.judged import ACCURACY
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.statistics import summarize


def regimes(results: Results) -> Drawn | None:
    """The best final validation accuracy at each batch size, and that at the rate that the linear rule gives,
    with the baseline's accuracy A, 99.5 % of it, and the brackets of B_L and B_H (docs/regimes.md). None
    without a baseline or without a larger batch size.
    """
    base = baseline(results)
    if base is None:
        return None
    large, huge = large_batch(results, base), huge_batch(results, base)
    best = _series("best of what was tried", base, huge)
    if len(best.spots) + len(best.missed) < 2:
        return None
    linear = _series("linear rule alone", base, large)
    series = [best, *([linear] if large.judged and _differ(large, huge) else [])]
    level = 100 * base.accuracy
    guides = {
        f"{100 * ACCURACY:g} % of A": lambda _: ACCURACY * level,
        f"A, the baseline's ({base.batch_size:,})": lambda _: level,
    }
    chart = Chart(
        "final validation accuracy (%)",
        logarithmic=False,
        hollow="some runs diverged",
        missed="all runs diverged",
        guides=guides,
        bands={
            f"{one.name} between {one.low:,} and {one.high:,}": (one.low, one.high)
            for one in (large, huge)
            if one.high is not None and one.judged
        },
        ends=_ends(series, level),
    )
    full = full_batch(base)
    open_ends = [
        f"{one.name} is above {one.low:,}, the largest that was tried"
        for one in (large, huge)
        if one.high is None and one.judged
    ]
    notes = [*open_ends, *([] if full is None else [f"B_F is {full:,}"])]
    n = counts([one.point.accuracy.n for one in huge.judged])
    caption = (
        f"Final validation accuracy by batch size: means over seeds ({n}), {INTERVAL}, the baseline's A and "
        f"the regimes of You et al. 2020{''.join(f'; {note}' for note in notes)}."
    )
    return Drawn("regimes", caption, draw(series, chart, "points"), len(series))


def _series(name: str, base: Baseline, boundary: Boundary) -> Series:
    """The baseline and what was judged at larger batch sizes."""
    there = [(base.batch_size, base.point), *((one.batch_size, one.point) for one in boundary.judged)]
    spots = [_spot(size, point) for size, point in there if finals(point)]
    return Series(name, spots, [size for size, point in there if not finals(point)])


def _spot(size: int, point: Point) -> Spot:
    found = summarize([100 * value for value in finals(point)])
    return Spot(size, found.mean or 0.0, found.low, found.high, hollow=point.n_diverged > 0)


def _differ(large: Boundary, huge: Boundary) -> bool:
    """Whether the linear rule was not the best everywhere."""
    return [one.point for one in large.judged] != [one.point for one in huge.judged]


def _ends(series: Sequence[Series], level: float) -> tuple[float, float]:
    """Limits that show all means and the baseline's, and of intervals what fits beside them."""
    means = [spot.value for one in series for spot in one.spots] + [level, ACCURACY * level]
    low, high = min(means), max(means)
    air = 0.15 * (high - low) or 0.5
    above = 2 if any(one.missed for one in series) else 1
    return low - air, min(high + above * air, 100 + above * 0.06 * (high - low + 1))


def _all(results: Results) -> list[Drawn]:
    drawn = regimes(results)
    return [] if drawn is None else [drawn]


KINDS = {
    "regimes": Kind(_all, "accuracy by batch size with the boundaries of large and huge batches (B_L, B_H)")
}
