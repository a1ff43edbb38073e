"""Time: how many steps a run has, how many make an epoch, and after which step each epoch ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from horovod_lb.errors import RecipeError
from horovod_lb.recipe.exact import ceil, exact, plain

REMAINDERS = ("continuous", "drop", "weighted", "wrap")


@dataclass(frozen=True)
class Timeline:
    """The steps of a run: N = `examples` cut into batches of B = `batch_size`, T = `total_steps` of them.

    `length` is the run in epochs E and `pace` the steps of an epoch S, both exact. Under `continuous` S is
    the real number N/B; under `drop` it is floor(N/B), under `weighted` and `wrap` ceil(N/B).
    """

    examples: int
    batch_size: int
    remainder: str
    length: Fraction
    pace: Fraction
    total_steps: int

    @property
    def epochs(self) -> int | float:
        """E: the run's length in passes over the data, a whole number or not."""
        return plain(self.length)

    @property
    def steps_per_epoch(self) -> float:
        """S as a float."""
        return float(self.pace)

    def steps(self, epochs: float) -> Fraction:
        """The exact number of steps, whole or not, that so many epochs take: e * S."""
        return exact(epochs) * self.pace

    @cached_property
    def epoch_ends(self) -> tuple[tuple[int, int], ...]:
        """(epoch, steps): after how many steps each epoch ends, steps strictly rising, the last one T.

        Epoch e ends after ceil(e * S) steps. Where a batch holds several epochs, the last that ends with a
        step stands for all of them; a part of an epoch at the end of the run counts as an epoch.
        """
        last: dict[int, int] = {}
        for epoch in range(1, self.length.numerator // self.length.denominator + 1):
            last[ceil(epoch * self.pace)] = epoch
        last.setdefault(self.total_steps, ceil(self.length))
        return tuple((epoch, step) for step, epoch in last.items())

    def step_size(self, t: int) -> int:
        """Examples in the global batch of step `t` (from 0): B, fewer in the last part if `weighted`."""
        if self.remainder != "weighted" or (t + 1) % int(self.pace):
            return self.batch_size
        return self.examples - self.batch_size * (int(self.pace) - 1)


def lay_out(recipe: Mapping[str, Any], examples: int) -> Timeline:
    """The time line of a recipe's `batch_size`, `remainder`, and `epochs` or `budget`.

    `budget: {steps: n}` is n steps; `{like_batch: b, epochs: e}` as many steps as batch b takes for e epochs
    under the same remainder policy. RecipeError: no step to make, neither or both of epochs and budget.
    """
    batch_size, remainder = recipe["batch_size"], recipe["remainder"]
    epochs, budget = recipe["epochs"], recipe["budget"]
    if (epochs is None) == (budget is None):
        raise RecipeError("recipe.epochs: give either epochs or budget, one of the two", key="recipe.epochs")
    pace = steps_per_epoch(examples, batch_size, remainder)
    if budget is None:
        length = exact(epochs)
        total_steps = ceil(length * pace)
    else:
        if budget.get("steps") is not None:
            total_steps = budget["steps"]
        else:
            like = steps_per_epoch(examples, budget["like_batch"], remainder)
            total_steps = ceil(exact(budget["epochs"]) * like)
        length = total_steps / pace
    return Timeline(examples, batch_size, remainder, length, pace, total_steps)


def steps_per_epoch(examples: int, batch_size: int, remainder: str) -> Fraction:
    """S: N/B, rounded down for `drop` and up for `weighted` and `wrap`. RecipeError if `drop` leaves none."""
    if remainder == "continuous":
        return Fraction(examples, batch_size)
    if remainder == "drop":
        if batch_size > examples:
            raise RecipeError(
                f"recipe.remainder: drop leaves no step, the batch of {batch_size} is larger than the "
                f"{examples} training examples; continuous, weighted and wrap train, or a batch of at most "
                f"{examples}",
                key="recipe.remainder",
            )
        return Fraction(examples // batch_size)
    if remainder in ("weighted", "wrap"):
        return Fraction(-(-examples // batch_size))
    raise RecipeError(
        f"recipe.remainder: {remainder!r} is not one of {', '.join(REMAINDERS)}", key="recipe.remainder"
    )
