"""What `model.fit` needs beside the wrapped optimizer, as one callback."""

from __future__ import annotations

import warnings
from typing import Any

import horovod.tensorflow as hvd
import keras
import numpy as np

from horovod_lb.distributed.broadcast import broadcast_state
from horovod_lb.distributed.check import check_identical
from horovod_lb.distributed.metrics import gather_examples, reduce_metrics
from horovod_lb.distributed.optimizer import DistributedOptimizer
from horovod_lb.errors import DistributedError


class Synchronize(keras.callbacks.Callback):
    """Put it first in the list of callbacks of `model.fit`, on every rank.

    It broadcasts weights, optimizer and other state before step 0; checks that the ranks do equal numbers of
    steps and examples; compares the ranks' weights after the first two steps and then every `check_every`
    steps; and replaces the metrics in the logs by those over all ranks. `model.fit` must be given this
    rank's part of the data (`hlb.shard`). What `model.evaluate` returns
    on its own is this rank's part still; `hlb.distributed.reduce_metrics(model)` after it is the whole.

    Raises:
        DistributedError: an optimizer that is not wrapped, unequal parts, or weights that differ.
    """

    def __init__(self, check_every: int = 500) -> None:
        super().__init__()
        self.check_every = check_every
        self._reduced: dict[str, float] = {}
        self._fitting = False

    def set_model(self, model: Any) -> None:
        """Refuse or mend what cannot train in step."""
        super().set_model(model)
        optimizer = getattr(model, "optimizer", None)
        if optimizer is not None and not isinstance(optimizer, DistributedOptimizer):
            raise DistributedError(
                f"the model was compiled with {type(optimizer).__name__}, so the ranks would train apart: "
                "compile it with hlb.DistributedOptimizer(optimizer)"
            )
        if getattr(model, "jit_compile", False):
            warnings.warn(
                "Horovod's collectives cannot be compiled by XLA: jit_compile is switched off", stacklevel=2
            )
            model.jit_compile = False

    def on_train_begin(self, logs: Any = None) -> None:
        """Broadcast the state and compare the ranks' numbers of steps."""
        policy = self.model.dtype_policy.name
        if policy == "mixed_float16" and not self.model.optimizer.scales_loss:
            raise DistributedError(
                "the model computes in float16 but its optimizer has no loss scale: use "
                "hlb.DistributedOptimizer(keras.optimizers.LossScaleOptimizer(optimizer))"
            )
        self._check_steps(int(self.params.get("steps") or 0))
        broadcast_state(self.model)
        self._step = 0
        self._fitting = True

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Compare the ranks' weights after the first steps and then at intervals."""
        previous, self._step = self._step, int(self.model.optimizer.iterations)
        if self._step <= 2 or previous // self.check_every != self._step // self.check_every:
            check_identical(self.model.trainable_variables, f"after step {self._step}")

    def on_test_begin(self, logs: Any = None) -> None:
        """Keep the training metrics: the validation is about to reset them."""
        if self._fitting:
            self._reduce_training_metrics()

    def on_test_end(self, logs: Any = None) -> None:
        """Reduce the validation metrics."""
        prefix = "val_" if self._fitting else ""
        self._reduced.update({prefix + name: value for name, value in reduce_metrics(self.model).items()})
        if logs is not None and not self._fitting:
            logs.update(self._reduced)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Forget the last epoch's metrics."""
        self._reduced = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Put the metrics over all ranks into the logs that later callbacks see."""
        if "loss" not in self._reduced:
            self._reduce_training_metrics()
        if logs is not None:
            logs.update({name: value for name, value in self._reduced.items() if name in logs})

    def on_train_end(self, logs: Any = None) -> None:
        """Evaluations from here on stand alone."""
        self._fitting = False

    def _reduce_training_metrics(self) -> None:
        examples = gather_examples(self.model)
        if len(set(examples)) > 1:
            raise DistributedError(
                f"the ranks trained on different numbers of examples in this epoch ({examples} by rank), so "
                "equal weights for their gradients are wrong: cut the training set into equal parts, or drop "
                "the remainder"
            )
        self._reduced.update(reduce_metrics(self.model))

    def _check_steps(self, steps: int) -> None:
        """Ranks that do unequal numbers of steps wait for each other for ever; 0: not known."""
        values = hvd.allgather(np.array([steps], np.int64), name="hlb.steps").numpy().tolist()
        if len(set(values)) > 1:
            raise DistributedError(
                f"the ranks would do different numbers of steps an epoch ({values} by rank) and hang"
            )
        if hvd.size() > 1 and not steps:
            raise DistributedError(
                "how many steps the data make is not known, and ranks that do unequal numbers hang: give "
                "steps_per_epoch to model.fit, the same on every rank, and data that do not end before"
            )
