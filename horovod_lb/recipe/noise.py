"""Which noise goes with what else a recipe asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from horovod_lb.errors import RecipeError


def check_noise(recipe: Mapping[str, Any]) -> list[str]:
    """What looks like a mistake in a recipe with `noise`, in words.

    RecipeError: noise on the weights beside SAM, which moves them as well.
    """
    noise = recipe["noise"]
    if noise["weights"] and recipe.get("sam"):
        raise RecipeError(
            "recipe.noise.weights: sam takes its gradient at a point of its own, and at which of the two it "
            "should be is not defined; set it to 0, or leave sam out",
            key="recipe.noise.weights",
        )
    if noise["gradients_decay"] and not noise["gradients"]:
        return ["recipe.noise.gradients_decay: recipe.noise.gradients is 0, so that nothing decays"]
    return []
