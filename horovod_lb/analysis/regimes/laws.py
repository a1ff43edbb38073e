"""How the best value of an axis grows with the batch size: its exponent, and what seeds say of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.regimes.best import Best, best_by_batch, value_of
from horovod_lb.analysis.regimes.fits import PowerLaw, power_law
from horovod_lb.analysis.table import sort_key

if TYPE_CHECKING:
    from horovod_lb.analysis.results import Results

WARMUP = ("warmup_epochs", "recipe.warmup.epochs")
RATE = ("learning_rate_peak", "recipe.reference.learning_rate", "learning_rate")
"""The derived column that says what was used, and the axes that it follows from."""

_RESAMPLES = 2000


@dataclass(frozen=True)
class Law:
    """best value of `axis` = factor·B^exponent, within a `group` of values of the axes that are not tuned.

    `fit` has Student's interval of the exponent over the batch sizes with a best value above 0;
    `boot_low`..`boot_high` is that over seeds: the range of 95 % of the exponents of the same batch sizes
    that come out where the seeds are drawn again, and with them other values are best (None without common
    seeds).
    """

    axis: str
    best: tuple[Best, ...]
    fit: PowerLaw | None
    boot_low: float | None
    boot_high: float | None
    group: Mapping[str, Any]

    @property
    def at_edge(self) -> tuple[int, ...]:
        """The batch sizes where the best is at the edge of what was tried: the exponent hangs on them."""
        return tuple(best.batch_size for best in self.best if not best.bracketed)


def laws(results: Results, axis: str) -> list[Law]:
    """The law of each group that has two batch sizes or more with a best of several values."""
    groups: dict[Any, list[Best]] = {}
    for best in best_by_batch(results, axis):
        if best.edge == "only":  # the best of one value is no optimum
            continue
        groups.setdefault(sort_key(best.group.values()), []).append(best)
    return [_law(axis, found) for found in groups.values() if len(found) > 1]


def _law(axis: str, best: Sequence[Best]) -> Law:
    fit = power_law([one.batch_size for one in best], [one.value for one in best])
    # Of the batch sizes of the fit alone: others make another exponent.
    low, high = _over_seeds(axis, [one for one in best if one.value > 0]) if fit else (None, None)
    return Law(axis, tuple(best), fit, low, high, best[0].group)


def _over_seeds(axis: str, best: Sequence[Best]) -> tuple[float | None, float | None]:
    """The 2.5 and 97.5 % quantiles of the exponent over seeds drawn with replacement, the same for all
    points; draws of which some best value is 0 have no exponent and are left out.
    """
    import numpy as np

    tried = [[(value_of(point, axis), point.by_seed()) for point in one.points] for one in best]
    seeds = sorted(set.intersection(*(set(by_seed) for points in tried for _, by_seed in points)), key=str)
    if len(seeds) < 2:
        return None, None
    exponents = []
    for drawn in _draws(seeds):
        chosen = [max(points, key=lambda point: sum(point[1][seed] for seed in drawn))[0] for points in tried]
        law = power_law([one.batch_size for one in best], chosen)
        if law is not None and law.n == len(best):
            exponents.append(law.exponent)
    if not exponents:
        return None, None
    low, high = np.quantile(exponents, [0.025, 0.975])
    return float(low), float(high)


def _draws(seeds: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """All draws of as many seeds with replacement, or 2,000 of them where there are more."""
    import numpy as np

    if len(seeds) ** len(seeds) <= _RESAMPLES:
        yield from itertools.product(seeds, repeat=len(seeds))
        return
    for row in np.random.default_rng(0).integers(len(seeds), size=(_RESAMPLES, len(seeds))):
        yield tuple(seeds[index] for index in row)
