"""Which of several points is the best: the rules of `best.csv`, and of all that stands on a best point."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from horovod_lb.analysis.points import Point


def choose(points: Sequence[Point]) -> Point | None:
    """The point with the highest mean final validation accuracy; None where no run of any has one.

    Points where more runs diverged than converged are chosen only where there are no others. Points are
    compared over the seeds that all of them have, if there are any, so that one that was trained with more
    seeds is neither better nor worse for it. Of equal means the one over more runs wins, then the first.
    """
    finished = [point for point in points if point.accuracy.n]
    # The mean over the few runs that survived says nothing of a point where most diverge.
    sound = [point for point in finished if point.n_diverged <= point.accuracy.n] or finished
    return max(sound, key=_rank(sound)) if sound else None


def _rank(points: Sequence[Point]) -> Callable[[Point], tuple[float, int]]:
    """What a point is chosen by: its mean over the seeds that all `points` have, and its number of runs."""
    common = set.intersection(*(set(point.by_seed()) for point in points))

    def rank(point: Point) -> tuple[float, int]:
        values = [value for seed, value in point.by_seed().items() if seed in common]
        mean = math.fsum(values) / len(values) if values else point.accuracy.mean
        return mean or 0.0, point.accuracy.n

    return rank
