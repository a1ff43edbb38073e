"""Which groups of a global batch share a perturbation of sharpness-aware minimization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from horovod_lb.errors import RecipeError

GROUPS = ("worker", "global")


def shared_groups(sam: Mapping[str, Any], groups: int) -> int:
    """How many consecutive groups, of all `groups`, take ε from their gradient together.

    `worker`: each takes its own; `global`: one for all; a number n: blocks of n (m-SAM with m = n groups'
    examples). RecipeError: n does not divide `groups`.
    """
    group = sam["group"]
    if group in GROUPS:
        return groups if group == "global" else 1
    if groups % group:
        raise RecipeError(
            f"recipe.sam.group: {group} groups that share a perturbation do not divide the {groups} groups; "
            "recipe.sam.group must divide recipe.groups, or be worker or global",
            key="recipe.sam.group",
        )
    return int(group)


def check_sam(recipe: Mapping[str, Any], groups: int) -> list[str]:
    """What looks like a mistake in a recipe with `sam`, in words.

    RecipeError: as `shared_groups`, or a decay to be taken at w + ε that the optimizer takes at w.
    """
    shared_groups(recipe["sam"], groups)
    where, decay = recipe["sam"]["decay_at"], recipe["weight_decay"]
    if where == "w" or not decay["value"]:
        return []
    if decay["kind"] == "decoupled" or recipe["optimizer"]["kind"] == "lars":
        raise RecipeError(
            f"recipe.sam.decay_at: {where} is for a decay in the loss; this one is the optimizer's, which "
            "takes it at w: w is needed",
            key="recipe.sam.decay_at",
        )
    if where == "none":
        return [f"recipe.sam.decay_at: none, so that the weight decay of {decay['value']:g} never acts"]
    return []
