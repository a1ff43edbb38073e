"""One training step: the groups of this rank, one all-reduce, one update."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import horovod.tensorflow as hvd
import numpy as np
import tensorflow as tf

from horovod_lb.data import AS_STORED
from horovod_lb.data.portion import Group
from horovod_lb.distributed import DistributedOptimizer
from horovod_lb.distributed.peers import Peers
from horovod_lb.recipe.sam import shared_groups
from horovod_lb.training.deal import WHOLE, deal
from horovod_lb.training.loss import cross_entropy
from horovod_lb.training.noise import StepNoise
from horovod_lb.training.passes import Passes, zeros
from horovod_lb.training.sam import Climb, OwnAscent, SharedAscent


class TrainingStep:
    """Works through this rank's groups of a global batch and updates the model with the mean over all of it.

    The gradient of a group is that of the mean loss over its examples, plus λw where an L2 penalty is asked
    for. Groups of one rank are accumulated, weighted by their examples; the last one's backward pass runs
    into the all-reduce, so buckets that are complete are reduced while earlier layers are still at work.

    Args:
        model: a built Keras model whose outputs are logits.
        optimizer: wraps the optimizer of the run.
        normalize: makes the network's input of x.astype(float32); by default nothing changes.
        seed: of the random streams.
        smoothing: label smoothing α.
        penalty: λ of the L2 penalty (λ/2)‖w‖².
        penalized: the variables under it.
        loss: (labels, outputs) -> float32 [n]; default: cross-entropy of logits.
        sam: `recipe.sam` of a study; None: no sharpness-aware minimization.
        noise: `recipe.noise` of a study; None: none. `classes`: those that a noisy label is one of.
        groups: of a global batch, on all ranks; asked for by `sam` alone.
        peers: with whom the layers share batch-norm moments; all ranks then pass through the network at once,
            each with one group, which may be empty; not together with `sam` or `watch`.
        watch: sees the gradient of every group, in the graph; see `measure.watch.GradientWatch`.
    """

    def __init__(
        self,
        model: Any,
        optimizer: DistributedOptimizer,
        *,
        normalize: Callable[[Any], Any] = AS_STORED,
        seed: int = 0,
        smoothing: float = 0.0,
        penalty: float = 0.0,
        penalized: Sequence[Any] = (),
        loss: Callable[[Any, Any], Any] | None = None,
        sam: Mapping[str, Any] | None = None,
        noise: Mapping[str, Any] | None = None,
        classes: int = 0,
        groups: int = 1,
        peers: Peers | None = None,
        watch: Any = None,
    ) -> None:
        self._optimizer, self._peers = optimizer, peers
        self._variables = model.trainable_variables
        self._noise = StepNoise(model, noise, seed, classes) if noise else None
        moved = self._noise.weights if self._noise else None
        # Where the weights are moved, the decay stays at w, and the data's loss alone is taken elsewhere.
        decay_at = sam["decay_at"] if sam else "w" if moved else "w_eps"
        self._penalty = penalty if decay_at == "w" else 0.0
        self._penalized = {id(variable) for variable in penalized}
        self._passes = Passes(
            model,
            optimizer,
            loss or (lambda labels, logits: cross_entropy(labels, logits, smoothing)),
            normalize=normalize,
            seed=seed,
            penalty=penalty if decay_at == "w_eps" else 0.0,
            penalized=penalized,
            noise=self._noise.activations if self._noise else None,
            peers=peers,
        )
        self.statistics = self._passes.statistics
        self._gradients = self._passes.first
        self._sam = sam is not None
        self._shared: SharedAscent | None = None
        if sam:
            climb, together = Climb(optimizer, self._variables, sam), shared_groups(sam, groups)
            if together == 1:
                self._gradients = OwnAscent(self._passes, climb, self._variables).gradients
            else:
                self._shared = SharedAscent(self._passes, climb, optimizer, self._variables, together, groups)
                self._gradients = self._shared.gradients
        # w, where the variables themselves are elsewhere while gradients are taken.
        self._weights = self._shared.weights if self._shared else moved.saved if moved else self._variables
        if watch:
            self._gradients = self._watched(self._gradients, watch)
        self._counts = 4 + (watch.width if watch else 0)
        self._gradient_sums: list[tf.Variable] = []
        self._count_sum = tf.Variable(tf.zeros([self._counts]), trainable=False)
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
            float32 [4] over the whole global batch, the same on every rank: see `loss.count`; then what
            `watch` returned for the groups, added up.
        """
        mine = sum(len(y) for _, y in groups)
        share = mine / batch
        unequal = mine * ranks != batch
        t = tf.constant(step, tf.int64)
        if self._noise:
            groups = self._noise.labels(groups, step, first_group, batch, ranks)
            self._noise.begin(t)
        if self._peers:
            groups = self._passes.attend(groups, ranks / batch)
        number, accumulated = first_group // len(groups), 0
        stages = self._shared.stages(ranks, number) if self._shared else [WHOLE]
        performed = deal(groups, first_group, stages)
        for position, (stage, parts) in enumerate(performed):
            if self._shared and position:
                self._shared.leave()
            if self._shared:
                self._shared.climb(stage, parts, t, batch)
            for part in parts[:-1] if position == len(performed) - 1 else parts:
                self._make_sums()
                weight = tf.constant(part.weight)
                self._accumulate(part.x, part.y, t, part.group, weight, first=part.first)
                accumulated += 1
        kept = performed[-1][1][-1:] if performed else []
        x, y, group, weight = (
            (kept[0].x, kept[0].y, kept[0].group, kept[0].weight)
            if kept
            else (*groups[0], tf.constant(first_group, tf.int64), 0.0)
        )
        totals = self._finish(
            x,
            y,
            t,
            group,
            tf.constant(weight),
            share=tf.constant(share) if unequal else None,
            accumulated=accumulated > 0,
            empty=not kept,
            away=self._shared is not None and bool(performed),
        )
        return totals.numpy()

    def _watched(self, gradients: Callable[..., Any], watch: Any) -> Callable[..., Any]:
        """`gradients` of a group, and what `watch` makes of them behind the counts."""

        def both(x: Any, y: Any, *place: Any, **last: Any) -> Any:
            found, counts = gradients(x, y, *place, **last)
            whole = self._with_decay(found, self._weights)
            return found, tf.concat([counts, watch.group(whole, tf.size(y))], 0)

        return both

    def _accumulate_group(self, x: Any, y: Any, step: Any, group: Any, weight: Any, first: bool) -> None:
        gradients, counts = self._gradients(x, y, step, group, weight, first, last=False)
        for total, gradient in zip(self._gradient_sums, gradients, strict=True):
            if gradient is not None:
                part = tf.cast(weight, total.dtype) * tf.convert_to_tensor(gradient)
                total.assign(part) if first else total.assign_add(part)
        self._count_sum.assign(counts) if first else self._count_sum.assign_add(counts)

    def _finish_step(
        self,
        x: Any,
        y: Any,
        step: Any,
        group: Any,
        weight: Any,
        share: Any,
        accumulated: bool,
        empty: bool,
        away: bool,
    ) -> Any:
        if empty:
            gradients, counts = self._no_gradients(x, y, step, group), zeros([self._counts], tf.float32)
        else:
            gradients, counts = self._gradients(x, y, step, group, weight, first=not accumulated, last=True)
        if away and self._shared:
            self._shared.descend()
        if self._noise and self._noise.weights:
            self._noise.weights.restore()
        if accumulated:
            gradients = [
                None
                if gradient is None
                else total + tf.cast(weight, total.dtype) * tf.convert_to_tensor(gradient)
                for total, gradient in zip(self._gradient_sums, gradients, strict=True)
            ]
            counts += self._count_sum
        gradients = self._with_decay(gradients, self._variables)
        if share is not None:
            # The ranks' numbers of groups differ, and with them what is sparse: all reduce dense gradients.
            gradients = [
                None if gradient is None else tf.convert_to_tensor(gradient) for gradient in gradients
            ]
        # A rank whose last stage was an exchange alone has no group left here, and had some before.
        absent = empty and not accumulated
        if not self._sam:
            totals = self._sum(counts, share, absent)
            # Where ranks share moments, the share is in the loss.
            self._optimizer.apply(gradients, self._variables, share=None if self._peers else share)
            return totals
        if not self._optimizer.scales_loss:
            # No loss scale that could mend it: the loss around w is not finite, and the run ends as diverged.
            counts = tf.where(self._optimizer.check_finite(gradients), counts, float("nan"))
        totals = self._sum(counts, share, absent)
        self._optimizer.apply_finite(gradients, self._variables, share=share)
        return totals

    def _sum(self, counts: Any, share: Any, absent: bool) -> Any:
        """The counts of all ranks; the changes of the moving statistics travel with them.

        `absent`: this rank had no examples in the step.
        """
        statistics = self.statistics
        part = 1.0 / hvd.size() if share is None else tf.cast(share, tf.float32)
        message = tf.concat([counts, statistics.changes(part, absent)], 0)
        totals, changes = tf.split(self._optimizer.reducer.sum(message), [self._counts, statistics.size])
        statistics.settle(changes, absent)
        return totals

    def _with_decay(self, gradients: list[Any], weights: Sequence[Any]) -> list[Any]:
        """The gradients at w + ε with that of the penalty at w, the `weights`, where SAM leaves it there."""
        if not self._penalty:
            return gradients
        factor = self._optimizer.scale_loss(tf.constant(self._penalty))
        result = list(gradients)
        for index, variable in enumerate(self._variables):
            if id(variable) in self._penalized:
                decay, found = tf.cast(factor, variable.dtype) * weights[index], gradients[index]
                result[index] = decay if found is None else tf.convert_to_tensor(found) + decay
        return result

    def _no_gradients(self, x: Any, y: Any, step: Any, group: Any) -> list[Any]:
        """Zeros for the variables that have a gradient on the ranks with examples, None for the others."""
        inputs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in (x, y, step, group)]
        weight = tf.TensorSpec([], tf.float32)
        # Traced to see which variables the loss depends on, never run.
        traced = tf.function(self._passes.first).get_concrete_function(*inputs, weight, True, True)
        return [
            None if gradient is None else zeros(variable.shape, variable.dtype)
            for gradient, variable in zip(traced.structured_outputs[0], self._variables, strict=True)
        ]

    def _make_sums(self) -> None:
        if not self._gradient_sums:
            self._gradient_sums = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self._variables]
