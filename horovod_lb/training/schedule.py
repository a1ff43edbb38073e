"""The recipe's learning rate inside the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from horovod_lb.recipe import resolve


@keras.saving.register_keras_serializable(package="horovod_lb")
class RecipeSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate η(t) of a recipe as a Keras schedule, for any optimizer.

    The pure function `Resolved.rate` is evaluated once for every step, in float64, and the graph looks the
    float32 value up. So the rate trained with is the rate that `hlb plan --trace` prints, for every schedule.

    Args:
        recipe: the complete `recipe:` mapping of a study.
        examples: N, the number of training examples.
        workers: the number of ranks; it matters for `per_worker` scaling only.
    """

    def __init__(
        self, recipe: Mapping[str, Any], examples: int, workers: int = 1, name: str = "recipe"
    ) -> None:
        self.recipe = dict(recipe)
        self.examples = int(examples)
        self.workers = int(workers)
        self.name = name
        self._table = resolve(recipe, examples=examples, workers=workers).rate.table().astype("float32")

    def __call__(self, step: Any) -> Any:
        """The rate before update `step` (0-based), a float32 scalar; after the last step it stays."""
        last = len(self._table) - 1
        return ops.take(ops.convert_to_tensor(self._table), ops.minimum(ops.cast(step, "int32"), last))

    def get_config(self) -> dict[str, Any]:
        """Everything `from_config` needs."""
        return {"recipe": self.recipe, "examples": self.examples, "workers": self.workers, "name": self.name}
