"""How the reference learning rate grows with the batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from horovod_lb.errors import RecipeError
from horovod_lb.recipe.batch import Batch
from horovod_lb.recipe.exact import exact

SCALINGS = ("none", "linear", "sqrt", "legw", "per_worker")


def peak_rate(scaling: str, reference: Mapping[str, Any], batch: Batch) -> float:
    """The learning rate that warmup leads to.

    `none` is the reference rate; `linear` grows as B/B_ref (Goyal et al. 2017), `sqrt` and `legw` as its
    square root (You et al. 2019); `per_worker` multiplies by the number of workers that the recipe was
    written for, its groups, so that it too does not depend on how many ranks happen to run it.
    RecipeError: a rule that needs a reference batch size and has none, an unknown rule.
    """
    rate = reference["learning_rate"]
    if scaling == "none":
        return float(rate)
    if scaling == "per_worker":
        return float(exact(rate) * batch.groups)
    if scaling not in SCALINGS:
        raise RecipeError(
            f"recipe.scaling: {scaling!r} is not one of {', '.join(SCALINGS)}", key="recipe.scaling"
        )
    growth = batch_growth(scaling, reference, batch)
    return float(exact(rate) * growth) if scaling == "linear" else rate * math.sqrt(growth)


def batch_growth(scaling: str, reference: Mapping[str, Any], batch: Batch) -> Fraction:
    """B / B_ref. RecipeError where the reference has no batch size."""
    if reference["batch_size"] is None:
        raise RecipeError(
            f"recipe.reference.batch_size: scaling {scaling} needs the batch size that "
            "reference.learning_rate was tuned for",
            key="recipe.reference.batch_size",
        )
    return Fraction(batch.batch_size, reference["batch_size"])
