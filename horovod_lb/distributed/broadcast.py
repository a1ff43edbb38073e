"""Give every rank the state of one rank, before the first step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import horovod.tensorflow as hvd
import numpy as np


def broadcast_state(model: Any, optimizer: Any = None, root: int = 0) -> None:
    """Copy all variables of `model` and of its optimizer from rank `root` to the others, in place.

    Call it on every rank, after weights were initialized or loaded and before the first step: Keras creates
    optimizer state at the first step, so the optimizer is built here first. Weights, batch-norm statistics,
    counters and momenta are covered. The states of random generators (dropout) are sent as well and then
    made different by rank.

    Args:
        model: a built `keras.Model`.
        optimizer: defaults to `model.optimizer`.
    """
    optimizer = getattr(model, "optimizer", None) if optimizer is None else optimizer
    variables = list(model.variables)
    if optimizer is not None:
        optimizer.build(model.trainable_variables)
        variables += optimizer.variables
    broadcast_variables(variables, root)
    if hvd.size() > 1:
        for variable in variables:
            if is_random_state(variable):
                state = np.array(variable.numpy())
                state[-1] += np.asarray(hvd.rank(), state.dtype)
                variable.assign(state)


def broadcast_variables(variables: Iterable[Any], root: int = 0) -> None:
    """Copy the values of `variables` from rank `root`, one message a dtype."""
    if hvd.size() == 1:
        return
    by_dtype: dict[str, list[Any]] = {}
    for variable in variables:
        by_dtype.setdefault(str(np.asarray(variable).dtype), []).append(variable)
    for dtype in sorted(by_dtype):
        members = by_dtype[dtype]
        values = [np.asarray(variable) for variable in members]
        # As bytes, since Horovod does not carry every dtype that a variable can have.
        packed = np.concatenate([np.ascontiguousarray(value).reshape(-1).view(np.uint8) for value in values])
        received = hvd.broadcast(packed, root_rank=root, name=f"hlb.broadcast.{dtype}").numpy()
        start = 0
        for variable, value in zip(members, values, strict=True):
            stop = start + value.nbytes
            variable.assign(received[start:stop].view(value.dtype).reshape(value.shape))
            start = stop


def is_random_state(variable: Any) -> bool:
    """Whether a variable is the state of a `keras.random.SeedGenerator`."""
    return "seed_generator" in getattr(variable, "path", "")
