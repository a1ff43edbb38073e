"""One training step: the groups of this rank, one all-reduce, one update."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from horovod_lb.distributed import DistributedOptimizer
from horovod_lb.recipe.sam import shared_groups
from horovod_lb.training.blocks import Stage
from horovod_lb.training.loss import cross_entropy
from horovod_lb.training.passes import Part, Passes, zeros
from horovod_lb.training.sam import Climb, OwnAscent, SharedAscent

Group = tuple[Any, Any]


class TrainingStep:
    """Works through this rank's groups of a global batch and updates the model with the mean over all of it.

    The gradient of a group is that of the mean loss over its examples, plus λw where an L2 penalty is asked
    for. Groups of one rank are accumulated, weighted by their examples; the last one's backward pass runs
    into the all-reduce, so buckets that are complete are reduced while earlier layers are still at work.

    Args:
        model: a built Keras model whose outputs are logits.
        optimizer: wraps the optimizer of the run.
        scale: the network's input is x.astype(float32) · scale.
        seed: of the random streams.
        smoothing: label smoothing α.
        penalty: λ of the L2 penalty (λ/2)‖w‖².
        penalized: the variables under it.
        loss: (labels, outputs) -> float32 [n]; default: cross-entropy of logits.
        sam: `recipe.sam` of a study; None: no sharpness-aware minimization.
        groups: of a global batch, on all ranks; asked for by `sam` alone.
    """

    def __init__(
        self,
        model: Any,
        optimizer: DistributedOptimizer,
        *,
        scale: float = 1.0,
        seed: int = 0,
        smoothing: float = 0.0,
        penalty: float = 0.0,
        penalized: Sequence[Any] = (),
        loss: Callable[[Any, Any], Any] | None = None,
        sam: Mapping[str, Any] | None = None,
        groups: int = 1,
    ) -> None:
        self._optimizer = optimizer
        self._variables = model.trainable_variables
        decay_at = sam["decay_at"] if sam else "w_eps"
        self._penalty = penalty if decay_at == "w" else 0.0
        self._penalized = {id(variable) for variable in penalized}
        self._passes = Passes(
            model,
            optimizer,
            loss or (lambda labels, logits: cross_entropy(labels, logits, smoothing)),
            scale=scale,
            seed=seed,
            penalty=penalty if decay_at == "w_eps" else 0.0,
            penalized=penalized,
        )
        self.statistics = self._passes.statistics
        self._gradients = self._passes.first
        self._only_finite = sam is not None
        self._shared: SharedAscent | None = None
        if sam:
            climb, together = Climb(optimizer, self._variables, sam), shared_groups(sam, groups)
            if together == 1:
                self._gradients = OwnAscent(self._passes, climb, self._variables).gradients
            else:
                self._shared = SharedAscent(
                    self._passes, climb, optimizer, self._variables, together, groups
                )
                self._gradients = self._shared.gradients
        self._gradient_sums: list[tf.Variable] = []
        self._count_sum = tf.Variable(tf.zeros([4]), trainable=False)
        self._accumulate = tf.function(self._accumulate_group)
        self._finish = tf.function(self._finish_step)

    def __call__(
        self, step: int, groups: Sequence[Group], first_group: int, batch: int, ranks: int
    ) -> np.ndarray:
        """Do global step `step`.

        Args:
            step: t, from 0.
            groups: (x, y) of each of this rank's groups, in order; a group may be empty.
            first_group: the index of the first of them among all groups.
            batch: b, the examples of this step on all ranks.
            ranks: the number of ranks.

        Returns:
            float32 [4] over the whole global batch, the same on every rank: see `loss.count`.
        """
        mine = sum(len(y) for _, y in groups)
        share = mine / batch
        unequal = mine * ranks != batch
        if unequal:
            self.statistics.begin_unequal_step()
        t = tf.constant(step, tf.int64)
        own = range(first_group, first_group + len(groups))
        stages = self._shared.stages(ranks, first_group // len(groups)) if self._shared else [None]
        ordered = [
            [number for number in own if stage is None or number in stage.groups] for stage in stages
        ]
        parts = _parts(dict(zip(own, groups, strict=True)), ordered)
        for stage, members in zip(stages, parts, strict=True):
            ...
