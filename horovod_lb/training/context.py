"""What is known of a run on this rank."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from horovod_lb.data import describe
from horovod_lb.distributed import World
from horovod_lb.distributed.peers import Peers
from horovod_lb.recipe import Resolved, resolve
from horovod_lb.recipe.normalization import Span, span
from horovod_lb.runs import Life, RunDirectory


class RunContext:
    """One run of a study on this rank.

    Attributes:
        spec: the content of `run.json`.
        recipe: its `recipe` section.
        resolved: the recipe in numbers, for the ranks at hand: batch, time line and rate of every step.
        span: the groups and ranks whose batch-norm moments are taken together.
        info: the data set's description.
        seed: decides initial weights, order of examples and random streams.
        world: this rank and its resources.
        directory: the run's folder.
        life: the right to write to it.
    """

    def __init__(self, spec: Mapping[str, Any], world: World, directory: RunDirectory, life: Life) -> None:
        self.spec = spec
        self.recipe: dict[str, Any] = {
            **spec["recipe"],
            "groups": spec["recipe"].get("groups") or spec["resources"]["workers"],
        }
        self.seed = int(spec["seed"])
        self.world = world
        self.directory = directory
        self.life = life
        self.info = describe(spec["data"])
        self.resolved: Resolved = resolve(self.recipe, examples=self.info.train_examples, workers=world.size)
        self.span: Span = span(spec["model"], self.resolved.batch)

    @functools.cached_property
    def peers(self) -> Peers | None:
        """The ranks with whom this one shares batch-norm moments; None: with nobody."""
        return Peers(self.span.ranks) if self.span.ranks > 1 else None
