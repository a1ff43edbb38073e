"""Whether a mean over seeds is above a fraction of another one, and how sure that is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

SURE = 0.95
"""The confidence from which on a question counts as decided."""


def above(here: Sequence[float], there: Sequence[float], factor: float) -> float | None:
    """The one-sided confidence that mean(here) > factor·mean(there); 1 minus it is that of the contrary.

    That of Welch's t test: Student's distribution function at (m₁ − f·m₂)/√(s₁²/n₁ + f²·s₂²/n₂) with the
    Welch-Satterthwaite degrees of freedom, so the uncertainty of both sides is in it. None where one of them
    has fewer than two values, which say nothing of their spread.
    """
    if min(len(here), len(there)) < 2:
        return None
    from scipy.special import stdtr

    scaled = [factor * value for value in there]
    difference = statistics.fmean(here) - statistics.fmean(scaled)
    parts = [statistics.variance(values) / len(values) for values in (here, scaled)]
    error = sum(parts)
    if not error:
        return 0.5 if not difference else 1.0 if difference > 0 else 0.0
    shares = [part / error for part in parts]  # of tiny variances the squares would be 0
    degrees = 1 / sum(
        share**2 / (len(values) - 1) for share, values in zip(shares, (here, there), strict=True)
    )
    return float(stdtr(degrees, difference / math.sqrt(error)))


def below(here: Sequence[float], there: Sequence[float], factor: float) -> float | None:
    """The one-sided confidence that mean(here) < factor·mean(there), as `above`."""
    found = above(here, there, factor)
    return None if found is None else 1 - found


def in_words(confidence: float | None) -> str:
    """`98 % sure`; what is above 99.9 % or below 50 % is not told apart."""
    if confidence is None:
        return "how sure is not known"
    if confidence > 0.999:
        return "more than 99.9 % sure"
    if confidence < 0.5:
        return "less than 50 % sure"
    return f"{100 * confidence:.{1 if confidence > 0.99 else 0}f} % sure"
