"""Random streams: of layers (dropout, noise) by seed, step and group; of Python and NumPy as they stand."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
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


def host_state() -> dict[str, Any]:
    """The states of `random` and of `numpy.random`, as JSON can hold them."""
    version, words, gauss = random.getstate()
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": [version, list(words), gauss],
        "numpy": [kind, np.asarray(keys).tolist(), *rest],
    }


def set_host_state(state: Mapping[str, Any]) -> None:
    """Go on drawing where `host_state` was taken."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), *rest))
