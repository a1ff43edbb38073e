"""Augmentation in memory: each example anew in every epoch, as a function of (seed, epoch, example)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from horovod_lb.data import keyed
from horovod_lb.data.dataset import Arrays

PAD = 4


@dataclass(frozen=True)
class Augmented:
    """`standard` augmentation of the images in `arrays`: padded by `pad` zeros on each side, cropped to their
    own size at a place drawn evenly, and mirrored left to right every other time.

    As in He et al., "Deep residual learning", 2016, section 4.2. The place and the mirroring are a function
    of (seed, epoch, example) alone: the same pixels on any rank and after a resume.
    """

    arrays: Arrays
    seed: int = 0
    pad: int = PAD

    def __len__(self) -> int:
        return len(self.arrays)

    def seeded(self, seed: int) -> Augmented:
        """The same examples with the augmentation of another seed."""
        return replace(self, seed=seed)

    def take(
        self, indices: NDArray[np.int64], epochs: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """As `Examples.take`: augmented, or without `epochs` as they are."""
        x, y = self.arrays.take(indices, epochs)
        if epochs is None:
            return x, y
        random = keyed.numbers(self.seed, np.asarray(epochs), np.asarray(indices))
        side = 2 * self.pad + 1
        down, right = keyed.below(side, random, 0), keyed.below(side, random, 21)
        return pad_crop_flip(x, self.pad, down, right, random >> np.uint64(63) == 1), y


def pad_crop_flip(
    x: NDArray[Any],
    pad: int,
    down: NDArray[np.int64],
    right: NDArray[np.int64],
    flip: NDArray[np.bool_],
) -> NDArray[Any]:
    """Images [n, H, W, C] with `pad` zeros around them, cropped to H x W from row `down` and column `right`
    (0 to 2 · pad, [n]), and mirrored where `flip` [n]: a new array like `x`.
    """
    n, height, width, channels = x.shape
    padded = np.zeros((n, height + 2 * pad, width + 2 * pad, channels), x.dtype)
    padded[:, pad : pad + height, pad : pad + width] = x
    image, row, pixel, value = padded.strides
    # Every crop there is, as a view: its rows are contiguous, so choosing copies them whole.
    crops = as_strided(
        padded,
        (n, 2 * pad + 1, 2 * pad + 1, height, width * channels),
        (image, row, pixel, row, value),
        writeable=False,
    )
    rows = crops[np.arange(n), down, right]
    mirrored = np.arange(width * channels).reshape(width, channels)[::-1].reshape(-1)
    rows[flip] = rows[flip].take(mirrored, axis=2)
    return rows.reshape(x.shape)
