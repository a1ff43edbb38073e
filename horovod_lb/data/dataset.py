"""What a data set is: its description, its arrays, its parts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Normalization:
    """The network's input of stored values x: (x · scale - mean) / std, in float32.

    `mean` and `std` have a value for each channel, the last axis of x, and are in units of x · scale; without
    them the input is x · scale. A part of a data set stays uint8, and small, up to here.
    """

    scale: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __call__(self, x: Any) -> Any:
        """Of `x`, a float32 array or tensor [..., channels]."""
        if not self.mean:
            return x * self.scale
        import numpy as np

        return (x * self.scale - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)


AS_STORED = Normalization()
"""The stored values as they are."""


@dataclass(frozen=True)
class DataInfo:
    """The description of a data set with its held-out split applied; known without reading a pixel.

    `test_examples` is 0 where there is no separate test set, `classes` 0 and `shape` () where a custom
    set does not state them. `normalization` makes the network's input of `x.astype(float32)`, in training
    and in evaluation alike; see `Normalization` for `scale`, `mean` and `std`.
    """

    name: str
    train_examples: int
    val_examples: int
    test_examples: int
    classes: int
    shape: tuple[int, ...]
    scale: float
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def normalization(self) -> Normalization:
        """From stored values to the network's input."""
        return Normalization(self.scale, self.mean, self.std)


class Examples(Protocol):
    """A part of a data set, as training, evaluation and measurements see it; `Arrays` are one.

    One that reads or computes its examples may have `stream` as well, which `feed.stream` then uses. One that
    augments them has `seeded(seed)`: the same examples with the augmentation of that seed.
    """

    def __len__(self) -> int:
        """How many examples there are."""
        ...

    def take(
        self, indices: NDArray[np.int64], epochs: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The examples at `indices` [n], in their order: x uint8 or float32 [n, ...], and y int64 [n].

        `epochs` int64 [n]: the epoch, from 0, in which training sees each of them. An augmentation is a
        function of (seed, epoch, example); without `epochs` there is none.
        """
        ...


@dataclass(frozen=True)
class Arrays:
    """Images `x`, uint8 or float32 [N, H, W, C], unscaled, and labels `y`, int64 [N]. Both are read-only."""

    x: NDArray[np.uint8] | NDArray[np.float32]
    y: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)

    def take(
        self, indices: NDArray[np.int64], epochs: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The examples at `indices`, the same in each of the `epochs`, as two new arrays.

        IndexError: one is out of range.
        """
        return self.x.take(indices, axis=0), self.y.take(indices)


@dataclass(frozen=True)
class DataSet:
    """The parts of a data set.

    `val` is evaluated every epoch: the held-out part of the training set where one was asked for, else
    the published test set. `test` is evaluated once at the end, and is None where `val` is the test set.
    """

    info: DataInfo
    train: Examples
    val: Examples
    test: Examples | None

    def seeded(self, seed: int) -> DataSet:
        """The same set with the training examples augmented by `seed`, where they are augmented at all."""
        seeded = getattr(self.train, "seeded", None)
        return self if seeded is None else replace(self, train=seeded(seed))


def split(info: DataInfo, train: Arrays, test: Arrays) -> DataSet:
    """A set of the published parts; the last of `train` are held out where `info` has a test set."""
    if not info.test_examples:
        return DataSet(info, train, test, None)
    kept, held_out = slice(info.train_examples), slice(info.train_examples, None)
    return DataSet(
        info, Arrays(train.x[kept], train.y[kept]), Arrays(train.x[held_out], train.y[held_out]), test
    )
