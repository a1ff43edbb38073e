"""What a job script's `main(run)` gets."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from horovod_lb.data import DataSet, describe, load
from horovod_lb.distributed import World
from horovod_lb.recipe import Resolved, resolve
from horovod_lb.runs import Life, RunDirectory
from horovod_lb.training import build, loop


class Run:
    """One run of a study on this rank.

    Attributes:
        spec: the content of `run.json`.
        recipe: its `recipe` section.
        resolved: the recipe in numbers, for the ranks at hand: batch, time line and rate of every step.
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
        self.result: loop.Result | None = None

    def load_data(self) -> DataSet:
        """The study's data set; runs of one session that use the same share it."""
        return _load(json.dumps(self.spec["data"], sort_keys=True))

    def optimizer(self, learning_rate: Any = None) -> keras.optimizers.Optimizer:
        """The recipe's optimizer; `learning_rate` replaces the in-graph schedule (for the rate callbacks)."""
        return build.optimizer(self, learning_rate)

    def fit(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer | None = None,
        data: DataSet | None = None,
        *,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        loss: Callable[[Any, Any], Any] | None = None,
    ) -> loop.Result:
        """Train `model` by the recipe, from the newest checkpoint where there is one.

        Args:
            model: built, with logits as its output.
            optimizer: default: `self.optimizer()`; wrapped in a `DistributedOptimizer` unless it is one.
            data: default: `self.load_data()`.
            callbacks: Keras callbacks; they see every step and epoch of this life, on every rank.
            loss: (labels int64 [n], outputs) -> float32 [n]; default: cross-entropy of logits.
        """
        optimizer = build.distributed(self, optimizer or self.optimizer())
        self.result = loop.Loop(self, model, optimizer, data or self.load_data(), loss).train(callbacks)
        return self.result


@functools.lru_cache(maxsize=2)
def _load(data: str) -> DataSet:
    return load(json.loads(data))
