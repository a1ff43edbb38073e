"""Random streams of layers (dropout, noise) as functions of seed, step and group."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from horovod_lb.distributed.broadcast import is_random_state

_GROUPS = 2**20


class GroupStreams:
    """Sets the state of every `keras.random.SeedGenerator` in a model before a group is worked through.

    Keyed by (seed, step, group) and nothing else, the masks of a group are the same on whichever rank it
    falls, and in a resumed run. `more` are the states of generators outside of the model.
    """

    def __init__(self, model: Any, seed: int, more: Iterable[Any] = ()) -> None:
        own = [variable for variable in model.non_trainable_variables if is_random_state(variable)]
        self._states = [*own, *more]
        self._seed = seed % 2**63

    def set(self, step: Any, group: Any) -> None:
        """In the graph: `step` int64 and `group` int64 scalars."""
        if not self._states:
            return
        key = tf.stack([tf.constant(self._seed, tf.int64), step * _GROUPS + group])
        words = tf.random.stateless_uniform([len(self._states), 2], key, None, None, tf.uint32)
        for state, value in zip(self._states, tf.unstack(words), strict=True):
            state.assign(tf.cast(value, state.dtype))
