"""What a job script's `main(run)` gets."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any

import keras

from horovod_lb import models
from horovod_lb.data import DataSet, load
from horovod_lb.errors import RecipeError
from horovod_lb.layers import Alone, Collective
from horovod_lb.training import build, final_model, loop, traces
from horovod_lb.training.context import RunContext


class Run(RunContext):
    """A run that can be trained: its data, its optimizer and `fit`. Attributes: see `RunContext`."""

    result: loop.Result | None = None

    def load_data(self) -> DataSet:
        """The study's data set; runs of one session that use the same share it, but for its augmentation."""
        return _load(json.dumps(self.spec["data"], sort_keys=True)).seeded(self.seed)

    def model(self, **options: Any) -> keras.Model:
        """The network of the study's `model`, new: for its data's classes and images, with its words.

        `options` of the network's builder (see `models.build`) stand above those of the study.
        """
        words = self.spec["model"]
        kind = words.get("batch_norm", "plain")
        stated = {
            "classes": self.info.classes or None,
            "shape": self.info.shape or None,
            "batch_norm": None if kind == "plain" else kind,
            "group_size": words.get("ghost_size"),
            "collective": self.collective() if kind in ("sync", "group") else None,
            "zero_gamma": words.get("zero_gamma"),
            "dropout": words.get("dropout"),
        }
        given = {key: value for key, value in stated.items() if value is not None}
        return models.build(words["name"], **{**given, **options})

    def collective(self) -> Collective:
        """The peers of synchronized layers in a model of the job's own, by the study's words."""
        return self.peers or Alone()

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
            data: default: `self.load_data()`. What it augments is augmented by the run's seed.
            callbacks: Keras callbacks; they see every step and epoch of this life, on every rank.
            loss: (labels int64 [n], outputs) -> float32 [n]; default: cross-entropy of logits.

        RecipeError: the recipe has words that a loss or an optimizer of the job's own does not heed.
        """
        if loss and self.recipe["label_smoothing"]:
            raise RecipeError(
                "recipe.label_smoothing: run.fit was given a loss of its own, which label smoothing does not "
                "reach; set it to 0 and smooth in that loss",
                key="recipe.label_smoothing",
            )
        optimizer = optimizer or self.optimizer()
        build.require_heeded(self.recipe, optimizer)
        optimizer = build.distributed(self, optimizer)
        data = (data or self.load_data()).seeded(self.seed)
        every = [*callbacks, *traces.callbacks(self.life, self.world.rank)]
        self.result = loop.Loop(self, model, optimizer, data, loss).train(every)
        if self.result.state == "completed" and self.spec["checkpoint"].get("final_model"):
            self._save(model)
        return self.result

    def _save(self, model: keras.Model) -> None:
        """The result of the run stands, whether or not its model finds room on the disk."""
        if self.world.rank:
            return
        self.life.fence()
        try:
            final_model.save(model, self.directory.final_model)
        except OSError as error:
            self.life.event("final model not saved", reason=str(error))
            print(f"the final model was not saved: {error}", flush=True)


@functools.lru_cache(maxsize=2)
def _load(data: str) -> DataSet:
    return load(json.loads(data))
