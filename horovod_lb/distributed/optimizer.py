"""A Keras 3 optimizer whose gradients are the average over all ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops
from keras.optimizers import LossScaleOptimizer, Optimizer

from horovod_lb.delegation import Delegation
from horovod_lb.distributed.buckets import DEFAULT_BUCKET_BYTES
from horovod_lb.distributed.reducer import GradientReducer


@keras.saving.register_keras_serializable(package="horovod_lb")
class DistributedOptimizer(Delegation, LossScaleOptimizer):
    """Wraps any Keras 3 optimizer: `apply` averages the gradients over the ranks, then the inner one goes on.

    Whatever the inner optimizer does (clipping, weight decay, EMA, loss scaling) acts on the reduced gradient
    and is therefore the same on every rank. It counts as a `LossScaleOptimizer` for Keras, so that `compile`
    does not wrap it again from the outside: the decision to skip a step with non-finite gradients must be
    taken after the reduction, or ranks part. Under the global policy `mixed_float16` the inner optimizer gets
    its loss scale here.

    Args:
        optimizer: a Keras optimizer, or its name. `gradient_accumulation_steps` set on it is taken over by
            the wrapper: micro-batches are summed locally, and one all-reduce a step is done. The inner
            optimizer then sees whole steps only, so its schedule and EMA count steps, not micro-batches.
        bucket_bytes, compression, sparse_as_dense: see `GradientReducer`.
    """

    def __init__(
        self,
        optimizer: Optimizer | str,
        bucket_bytes: int = DEFAULT_BUCKET_BYTES,
        compression: str = "none",
        sparse_as_dense: bool = False,
        name: str | None = None,
    ) -> None:
        optimizer = keras.optimizers.get(optimizer)
        if isinstance(optimizer, DistributedOptimizer):
            raise ValueError(
                "the optimizer is a DistributedOptimizer already: its gradients would be averaged twice"
            )
        micro_batches = _take_over_accumulation(optimizer)
        if keras.config.dtype_policy().name == "mixed_float16" and not isinstance(
            optimizer, LossScaleOptimizer
        ):
            optimizer = LossScaleOptimizer(optimizer)
        # Past LossScaleOptimizer's own __init__: the scale, if any, lives in the inner optimizer.
        Optimizer.__init__(self, learning_rate=0.0, name=name or "distributed")
        self.inner_optimizer = optimizer
        self.micro_batches = micro_batches
        self.reducer = GradientReducer(bucket_bytes, compression, sparse_as_dense)
        self._sums: list[Any] = []
        self._skips = False
        # Called with the reduced gradients of every step, in the graph: for measurements.
        self.watch: Any = None

    @property
    def scales_loss(self) -> bool:
        """Whether the inner optimizer multiplies the loss for half precision."""
        return isinstance(self.inner_optimizer, LossScaleOptimizer)

    def build(self, var_list: Sequence[Any]) -> None:
        """Create the variables of this wrapper and of the inner optimizer."""
        if self.built:
            return
        if self.micro_batches > 1:
            self._micro_batch = self.add_variable(
                shape=(), dtype="int64", initializer="zeros", name="micro_batch"
            )
            self._sums = [self.add_variable_from_reference(v, name="gradient_sum") for v in var_list]
        self.inner_optimizer.build(var_list)
        Optimizer.build(self, var_list)

    def apply(
        self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None, share: Any = None
    ) -> None:
        """Reduce `grads` over the ranks and update the variables.

        `share`: this rank's part of the global batch where parts are unequal, see `GradientReducer.reduce`.
        Every rank must call this the same number of times.
        """
        grads = list(grads)
        if not self.built:
            if trainable_variables is None:
                raise ValueError("the optimizer is not built: pass `trainable_variables` or call `build`")
            self.build(list(trainable_variables))
        if self.micro_batches == 1:
            self._reduce_and_apply(grads, trainable_variables, share)
            return
        ops.cond(
            ops.equal(self._micro_batch, self.micro_batches - 1),
            lambda: self._finish_step(grads, trainable_variables, share),
            lambda: self._add(grads, trainable_variables),
        )

    def apply_finite(
        self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None, share: Any = None
    ) -> None:
        """`apply`, but a step whose reduced gradient is not finite is skipped: nothing changes on any rank.

        With a loss scale that is what `apply` does, and the scale is halved.
        """
        self._skips = True
        try:
            self.apply(grads, trainable_variables, share)
        finally:
            self._skips = False

    def _reduce_and_apply(self, grads: list[Any], variables: Sequence[Any] | None, share: Any) -> None:
        reduced = self.reducer.reduce(grads, share)
        if not self._skips or self.scales_loss:
            self.apply_reduced(reduced, variables)
            return
        ops.cond(self.check_finite(reduced), lambda: self.apply_reduced(reduced, variables), lambda: None)

    def apply_reduced(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Update the variables with gradients that are reduced already."""
        if self.watch is not None:
            self.watch(grads)
        self.inner_optimizer.apply(list(grads), trainable_variables)

    def _sum_variables(self, variables: Sequence[Any] | None) -> list[Any]:
        known = self._trainable_variables if variables is None else variables
        return [self._sums[self._get_variable_index(variable)] for variable in known]

    def _add(self, grads: list[Any], variables: Sequence[Any] | None) -> None:
        for total, grad in zip(self._sum_variables(variables), grads, strict=True):
            if grad is not None:
                total.assign_add(ops.convert_to_tensor(grad))
        self._micro_batch.assign_add(1)

    def _finish_step(self, grads: list[Any], variables: Sequence[Any] | None, share: Any) -> None:
        sums = self._sum_variables(variables)
        means = [
            None if grad is None else (ops.convert_to_tensor(grad) + total) / self.micro_batches
            for total, grad in zip(sums, grads, strict=True)
        ]
        self._reduce_and_apply(means, variables, share)
        for total in sums:
            total.assign(ops.zeros_like(total))
        self._micro_batch.assign(0)

    def get_config(self) -> dict[str, Any]:
        """Everything `from_config` needs, the inner optimizer included."""
        return {
            "name": self.name,
            "optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "gradient_accumulation_steps": self.micro_batches if self.micro_batches > 1 else None,
            "bucket_bytes": self.reducer.bucket_bytes,
            "compression": self.reducer.compression,
            "sparse_as_dense": self.reducer.sparse_as_dense,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> DistributedOptimizer:
        """Rebuild the wrapper and its inner optimizer."""
        config = dict(config)
        steps = config.pop("gradient_accumulation_steps", None)
        inner = keras.saving.deserialize_keras_object(config.pop("optimizer"), custom_objects=custom_objects)
        innermost(inner).gradient_accumulation_steps = steps
        return cls(inner, **config)


def innermost(optimizer: Optimizer) -> Optimizer:
    """The optimizer inside all wrappers: ours, and the loss scale of half precision."""
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    return optimizer


def _take_over_accumulation(optimizer: Optimizer) -> int:
    base = innermost(optimizer)
    steps = int(base.gradient_accumulation_steps or 1)
    base.gradient_accumulation_steps = None
    return steps
