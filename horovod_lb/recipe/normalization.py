"""Over which examples batch normalization takes its moments, and what that asks of groups and ranks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from horovod_lb.errors import RecipeError
from horovod_lb.recipe.batch import Batch, divisors

KINDS = ("plain", "ghost", "sync", "group")


@dataclass(frozen=True)
class Span:
    """How the groups whose moments are taken together come together.

    Attributes:
        groups: so many consecutive groups of a rank go through the network in one pass.
        ranks: so many neighbouring ranks add up the moments of their passes; then each has one pass a step.
    """

    groups: int = 1
    ranks: int = 1


def span(model: Mapping[str, Any], batch: Batch) -> Span:
    """The span of a study's `model.batch_norm`: one group, or a block of groups, on one rank or on several.

    RecipeError: `bn_groups` that does not divide the groups; blocks that neither fit into a rank nor are
    made of whole ranks, with the numbers of workers that would do.
    """
    kind = model.get("batch_norm", "plain")
    if kind in ("plain", "ghost"):
        return Span()
    block = batch.groups if kind == "sync" else model["bn_groups"]
    if batch.groups % block:
        raise RecipeError(
            f"model.bn_groups: blocks of {block} groups do not divide the {batch.groups} groups; "
            f"bn_groups {_listed(divisors(batch.groups))} would do",
            key="model.bn_groups",
        )
    own = batch.groups_per_worker
    if own % block == 0:
        return Span(groups=block)
    if block % own == 0:
        return Span(groups=own, ranks=block // own)
    possible = sharing(model, batch.groups)
    raise RecipeError(
        f"model.bn_groups: blocks of {block} groups lie across ranks of {own} groups; with {batch.groups} "
        f"groups, {_listed(possible)} workers can share them, not {batch.workers}",
        key="model.bn_groups",
    )


def sharing(model: Mapping[str, Any], groups: int) -> list[int]:
    """The numbers of workers that can share the groups of a batch, rising: all divisors, but for those that
    would cut a block of `bn_groups`."""
    block = int(model["bn_groups"]) if model.get("batch_norm") == "group" else 1
    return [
        workers
        for workers in divisors(groups)
        if not (groups // workers) % block or not block % (groups // workers)
    ]


def normalized_examples(model: Mapping[str, Any], batch: Batch) -> int:
    """Over how many examples the moments of one normalization are taken."""
    kind = model.get("batch_norm", "plain")
    if kind == "ghost":
        return int(model["ghost_size"])
    if kind == "sync":
        return batch.batch_size
    return batch.group_size * (model["bn_groups"] if kind == "group" else 1)


def check_normalization(
    model: Mapping[str, Any], recipe: Mapping[str, Any], batch: Batch, measured: Collection[str] = ()
) -> None:
    """RecipeError, with the key at fault: words that do not go together, or a size that does not divide.

    `measured`: the kinds of a study's measurements.
    """
    kind = model.get("batch_norm", "plain")
    for key, owner in (("ghost_size", "ghost"), ("bn_groups", "group")):
        given = model.get(key) is not None
        if given and kind != owner:
            raise _refused(key, f"for batch_norm {owner}, and this is {kind}; leave it out")
        if kind == owner and not given:
            raise _refused(key, f"missing; batch_norm {owner} needs it")
    size = model.get("ghost_size")
    if size is not None and batch.group_size % size:
        raise _refused(
            "ghost_size",
            f"{size} does not divide the groups of {batch.group_size} examples; "
            f"{_listed(divisors(batch.group_size))} would do, or other recipe.groups",
        )
    if kind in ("sync", "group"):
        _check_joined(kind, recipe, measured)
    span(model, batch)


def _check_joined(kind: str, recipe: Mapping[str, Any], measured: Collection[str]) -> None:
    """Where several groups go through the network together, nothing can be had of each of them."""
    asked = {
        "recipe.sam": recipe.get("sam"),
        "recipe.noise.activations": (recipe.get("noise") or {}).get("activations"),
        "measure: noise_scale": "noise_scale" in measured,
    }
    for what, wanted in asked.items():
        if wanted:
            raise _refused(
                "batch_norm",
                f"{kind} joins groups that {what} needs apart; take plain or ghost, or leave {what} out",
            )


def _refused(key: str, message: str) -> RecipeError:
    return RecipeError(f"model.{key}: {message}", key=f"model.{key}")


def _listed(values: list[int]) -> str:
    *most, last = [str(value) for value in values]
    return f"{', '.join(most)} or {last}" if most else last
