"""Bootstrap intervals of means by percentiles: exact for few values, by fixed draws for more.

A resample takes n of n values with replacement. There are only C(2n − 1, n) different ones; up to `EXACT`
values all of them are weighed by their multinomial probabilities, and there is no chance in the answer.
Beyond, `DRAWS` resamples are drawn from raw Philox words, the same ones on any machine and in any version of
NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float64]

EXACT = 6
DRAWS = 9999
TAIL = 0.025


def interval_of_mean(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % bootstrap interval (percentiles) of the mean of two or more finite values.

    For two and three values that is the smallest and the largest of them.
    """
    import numpy as np

    shares, weights = _resamples(len(values), exact=len(values) <= EXACT, stream=0)
    return _tails(shares @ np.asarray(values, np.float64), weights)


def interval_of_difference(here: Sequence[float], there: Sequence[float]) -> tuple[float, float]:
    """The 95 % bootstrap interval of mean(here) − mean(there), both resampled independently of each other."""
    import numpy as np

    exact = max(len(here), len(there)) <= EXACT
    first, ours = _resamples(len(here), exact=exact, stream=0)
    second, theirs = _resamples(len(there), exact=exact, stream=1)
    means = first @ np.asarray(here, np.float64), second @ np.asarray(there, np.float64)
    if ours is None or theirs is None:
        return _tails(means[0] - means[1], None)
    return _tails(np.subtract.outer(*means).ravel(), np.multiply.outer(ours, theirs).ravel())


def _tails(means: Floats, weights: Floats | None) -> tuple[float, float]:
    """The values below and above which 2.5 % of the resamples lie, and no more; None: all weigh alike."""
    import numpy as np

    if weights is None:
        place = int(TAIL * len(means))
        ends = (place, len(means) - 1 - place)
        return tuple(np.partition(means, ends)[list(ends)].tolist())
    order = np.argsort(means, kind="stable")
    below = np.cumsum(weights[order])
    above = np.cumsum(weights[order][::-1])
    low = means[order[np.searchsorted(below, TAIL, side="right")]]
    high = means[order[::-1][np.searchsorted(above, TAIL, side="right")]]
    return float(low), float(high)


@lru_cache(maxsize=16)
def _resamples(n: int, *, exact: bool, stream: int) -> tuple[Floats, Floats | None]:
    """Resamples of n values as the share of each value in each, [resamples, n], and their probabilities,
    None for drawn ones.
    """
    import numpy as np

    if exact:
        chosen = np.array(list(combinations_with_replacement(range(n), n)))
        counts = (chosen[:, :, None] == np.arange(n)).sum(axis=1)
        ways = [math.factorial(n) / math.prod(map(math.factorial, row)) for row in counts.tolist()]
        return counts / n, np.array(ways) / n**n
    words = np.random.Philox(key=[n, stream]).random_raw(DRAWS * n)
    chosen = (words % np.uint64(n)).astype(np.int64).reshape(DRAWS, n)
    counts = np.zeros((DRAWS, n))
    np.add.at(counts, (np.arange(DRAWS)[:, None], chosen), 1.0)
    return counts / n, None
