"""Noise in the training step, by the words of `recipe.noise`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from horovod_lb.data.partition import group_bounds
from horovod_lb.errors import RecipeError
from horovod_lb.noise import ActivationNoise, WeightNoise, noisy_labels


class StepNoise:
    """What `recipe.noise` asks of a training step; the noise on the gradients is the optimizer's.

    Attributes:
        activations: entered around a forward pass; None: no noise.
        weights: moved at the beginning of a step and back before its update; None: no noise.
    """

    def __init__(self, model: Any, noise: Mapping[str, Any], seed: int, classes: int) -> None:
        self.activations = ActivationNoise(model, noise["activations"], 0) if noise["activations"] else None
        if self.activations and not self.activations.layers:
            raise RecipeError(
                "recipe.noise.activations: the model has no hidden layer with trained weights, whose output "
                "would get the noise; set it to 0",
                key="recipe.noise.activations",
            )
        self.weights: WeightNoise | None = None
        if noise["weights"]:
            self.weights = WeightNoise(model.trainable_variables, noise["weights"], seed)
            self._move = tf.function(self.weights.move)
        self._probability, self._classes, self._seed = noise["labels"], classes, seed
        if self._probability and not classes:
            raise RecipeError(
                "recipe.noise.labels: the number of classes is not known; set data.classes",
                key="recipe.noise.labels",
            )

    def begin(self, step: Any) -> None:
        """Move the weights for global step `step`, an int64 scalar tensor, until `weights.restore`."""
        if self.weights:
            self._move(step)

    def labels(
        self, groups: Sequence[tuple[Any, Any]], step: int, first_group: int, batch: int, ranks: int
    ) -> Sequence[tuple[Any, Any]]:
        """`groups` with noisy labels; the arguments are those of `TrainingStep.__call__`."""
        if not self._probability:
            return groups
        y = np.concatenate([np.asarray(labels) for _, labels in groups])
        first = int(group_bounds(batch, len(groups) * ranks)[first_group])
        found = noisy_labels(y, self._classes, self._probability, self._seed, step, first)
        cuts = np.cumsum([len(labels) for _, labels in groups])[:-1]
        return [(x, part) for (x, _), part in zip(groups, np.split(found, cuts), strict=True)]
