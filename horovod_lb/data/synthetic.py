"""Images that are computed when they are asked for: any shape and any number, without files and memory.

For measuring speed, and for trying a model at the size of its real data. Example i is a function of
(seed, part of the set, i): the same on any rank and in any order. Its label y is drawn evenly. Its values are
bytes: with `learnable` the mean of noise and a pattern that belongs to y, so that a network can tell the
classes apart, and the noise alone without; then nothing can be learned but by heart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from horovod_lb.data.dataset import DataInfo, DataSet
from horovod_lb.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WINDOWS = 2**20  # places in the pool of noise where an image may begin
_LABEL, _NOISE, _PATTERN = range(3)
_TRAIN, _VAL, _TEST = range(3)


def describe(data: Mapping[str, Any]) -> DataInfo:
    """As the study says: `examples`, `shape` and `classes`; 1,000 validation examples unless it says else."""
    for key in ("classes", "shape"):
        if not data.get(key):
            raise DataError(f"data.{key}: a synthetic set must say it")
    val = data.get("val_examples")
    return DataInfo(
        name="synthetic",
        train_examples=int(data["examples"]),
        val_examples=1000 if val is None else int(val),
        test_examples=int(data.get("test_examples") or 0),
        classes=int(data["classes"]),
        shape=tuple(data["shape"]),
        scale=1 / 255,
    )


def load(data: Mapping[str, Any]) -> DataSet:
    """The parts of the set, of which nothing is computed yet."""
    info, seed, learnable = describe(data), int(data.get("seed") or 0), data.get("learnable", True)

    def part(number: int, examples: int) -> Synthetic:
        return Synthetic(examples, info.shape, info.classes, seed, number, learnable)

    test = part(_TEST, info.test_examples) if info.test_examples else None
    return DataSet(info, part(_TRAIN, info.train_examples), part(_VAL, info.val_examples), test)


@dataclass(frozen=True)
class Synthetic:
    """One part of a synthetic set; see `data.Examples`.

    An image is a window into a pool of random bytes, at a place that is a function of (seed, part, example);
    a class's pattern is another window. So there are 2^20 different images, and making one is as fast as
    copying it.
    """

    examples: int
    shape: tuple[int, ...]
    classes: int
    seed: int = 0
    part: int = _TRAIN
    learnable: bool = True

    def __len__(self) -> int:
        return self.examples

    def take(
        self, indices: NDArray[np.int64], epochs: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """uint8 [n, *shape] and int64 [n]; IndexError if one is out of range."""
        import numpy as np

        from horovod_lb.data import keyed

        indices = np.asarray(indices, np.int64)
        if len(indices) and not (indices.min() >= 0 and indices.max() < self.examples):
            raise IndexError(f"there are {self.examples} examples, {indices.max()} is not one of them")
        places = keyed.numbers(self.seed, self.part, _NOISE, indices) % np.uint64(WINDOWS)
        labels = keyed.numbers(self.seed, self.part, _LABEL, indices) % np.uint64(self.classes)
        y = labels.astype(np.int64)
        x = self._windows(places.astype(np.int64))
        if self.learnable:
            patterns = keyed.numbers(self.seed, _PATTERN, y) % np.uint64(WINDOWS)
            x >>= 1
            x += self._windows(patterns.astype(np.int64)) >> 1
        return x.reshape(len(y), *self.shape), y

    def _windows(self, places: NDArray[np.int64]) -> NDArray[np.uint8]:
        import numpy as np

        views = np.lib.stride_tricks.sliding_window_view(self._pool, math.prod(self.shape))
        chosen: NDArray[np.uint8] = views[places]
        return chosen

    @cached_property
    def _pool(self) -> NDArray[np.uint8]:
        import numpy as np

        words = -(-(WINDOWS + math.prod(self.shape)) // 8)
        key = np.array([self.seed, 0], np.uint64)
        return np.random.Philox(key=key).random_raw(words).astype("<u8").view(np.uint8)
