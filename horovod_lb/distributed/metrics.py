"""Keras metrics over all ranks, from their sums and counts."""

from __future__ import annotations

from typing import Any

import horovod.tensorflow as hvd
import numpy as np


def reduce_metrics(model: Any) -> dict[str, float]:
    """The model's metrics over the examples of all ranks; collective.

    The state of every metric is added over the ranks before its result is taken, so ranks with unequal
    numbers of examples count as they should (an average of the ranks' results would not). Right for every
    metric whose state is additive: means, accuracies, counts, confusion matrices, AUC. The local state is
    left as it was.
    """
    results: dict[str, float] = {}
    for number, metric in enumerate(model.metrics):
        local = [np.asarray(variable) for variable in metric.variables]
        for position, (variable, value) in enumerate(zip(metric.variables, local, strict=True)):
            name = f"hlb.metric.{number}.{position}"
            variable.assign(hvd.allreduce(value, op=hvd.Sum, name=name))
        result = metric.result()
        for variable, value in zip(metric.variables, local, strict=True):
            variable.assign(value)
        if isinstance(result, dict):
            results.update({key: float(value) for key, value in result.items()})
        else:
            results[metric.name] = float(result)
    return results


def gather_examples(model: Any) -> list[int]:
    """How many examples each rank's loss metric has counted since it was reset; collective."""
    count = int(model.metrics[0].count) if model.metrics else 0
    return hvd.allgather(np.array([count], np.int64), name="hlb.metric.examples").numpy().tolist()
