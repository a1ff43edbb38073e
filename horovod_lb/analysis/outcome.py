"""What a finished run came to: ok, chance, unstable or nan. The criteria are in docs/tables.md."""

from __future__ import annotations

import math
from collections.abc import Sequence

from horovod_lb.analysis.statistics import binomial_tail

# A network that always names the most frequent class beats 1/classes where classes are not equally frequent
# (11.35 % on MNIST's test set); the chance level allows for that.
CLASS_IMBALANCE = 1.2
CHANCE_LEVEL = 0.001
UNSTABLE_DROP = 0.05
UNSTABLE_ERRORS = 3.0


def classify(final: float | None, best: float | None, *, classes: int | None, examples: int | None) -> str:
    """The outcome of a run that trained to its end with a finite loss.

    `final` and `best` are validation accuracies (fractions), `examples` the size of the validation set; a
    criterion whose numbers are not known is not applied.
    """
    if final is None:
        return "ok"
    if classes and classes > 1 and examples and is_chance(final, classes=classes, examples=examples):
        return "chance"
    if best is not None and is_unstable(final, best, examples=examples):
        return "unstable"
    return "ok"


def is_chance(accuracy: float, *, classes: int, examples: int) -> bool:
    """Whether `accuracy` is no better than guessing.

    One-sided exact binomial test: somebody who is right with probability 1.2/classes gets as many or more of
    `examples` right with a probability above 0.001.
    """
    guess = CLASS_IMBALANCE / classes
    # Hoeffding: the tail is at most exp(-2n(p - guess)^2); for most runs that settles it.
    above = round(accuracy * examples) / examples - guess
    if above > 0 and math.exp(-2 * examples * above**2) <= CHANCE_LEVEL:
        return False
    return binomial_tail(round(accuracy * examples), examples, guess) > CHANCE_LEVEL


def is_unstable(final: float, best: float, *, examples: int | None) -> bool:
    """Whether the best epoch was far above the last one.

    Far: by more than 5 % of the best accuracy, and by more than three standard errors of a difference of two
    independent accuracies measured on `examples` examples.
    """
    drop = best - final
    error = 0.0
    if examples:
        pooled = (final + best) / 2
        error = math.sqrt(max(0.0, 2 * pooled * (1 - pooled)) / examples)
    return drop > UNSTABLE_DROP * best and drop > UNSTABLE_ERRORS * error


def not_finite(values: Sequence[object]) -> bool:
    """Whether any of `values` is a number that is infinite or not a number."""
    return any(isinstance(value, float) and not math.isfinite(value) for value in values)
