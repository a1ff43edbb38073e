"""Which part of a photograph the network sees: the random crop of training, the center of evaluation."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from horovod_lb.data import keyed

AREA = (0.08, 1.0)  # of the crop, as a part of the photograph's
RATIO = (3 / 4, 4 / 3)  # of the crop's width to its height
ATTEMPTS = 10
EVALUATION_RATIO = 256 / 224  # of the resized photograph's shorter side to the side of its center


def random_crops(
    heights: NDArray[np.int64],
    widths: NDArray[np.int64],
    seed: int,
    epochs: NDArray[np.int64],
    examples: NDArray[np.int64],
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Random resized crops: boxes int32 [n, 4] as (top, left, height, width), and which to mirror, bool [n].

    Of a photograph's area a part is drawn evenly from `AREA`, and a ratio of width to height from `RATIO`,
    evenly in its logarithm; up to `ATTEMPTS` times, until the rectangle with them fits; its place is then
    drawn evenly. If none fits, the crop is the largest in the center whose ratio is in `RATIO`. Every other
    crop is mirrored. Szegedy et al., "Going deeper with convolutions", 2015, section 6, with the parameters
    that are usual since. All of it is a function of (seed, epoch, example).
    """
    draws = 2 * ATTEMPTS + 3
    key = (np.asarray(epochs)[:, None], np.asarray(examples)[:, None], np.arange(draws)[None])
    uniform = (keyed.numbers(seed, *key) >> np.uint64(11)) * 2.0**-53
    area = (AREA[0] + (AREA[1] - AREA[0]) * uniform[:, :ATTEMPTS]) * (heights * widths)[:, None]
    low, high = map(math.log, RATIO)
    ratio = np.exp(low + (high - low) * uniform[:, ATTEMPTS : 2 * ATTEMPTS])
    tried_w, tried_h = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (tried_w >= 1) & (tried_h >= 1) & (tried_w <= widths[:, None]) & (tried_h <= heights[:, None])
    rows, first = np.arange(len(heights)), fits.argmax(axis=1)
    some = fits.any(axis=1)
    center_h, center_w = _largest(heights, widths)
    h = np.where(some, tried_h[rows, first], center_h).astype(np.int64)
    w = np.where(some, tried_w[rows, first], center_w).astype(np.int64)
    place_y, place_x = uniform[:, 2 * ATTEMPTS], uniform[:, 2 * ATTEMPTS + 1]
    top = np.where(some, np.floor(place_y * (heights - h + 1)), (heights - h) // 2)
    left = np.where(some, np.floor(place_x * (widths - w + 1)), (widths - w) // 2)
    return np.stack([top, left, h, w], axis=1).astype(np.int32), uniform[:, -1] < 0.5


def resized_shapes(heights: NDArray[np.int64], widths: NDArray[np.int64], size: int) -> NDArray[np.int32]:
    """Of evaluation: shapes int32 [n, 2] whose shorter side is size · 256 / 224, rounded, the ratio kept."""
    shorter = np.minimum(heights, widths)
    side = round(size * EVALUATION_RATIO)
    return np.rint(np.stack([heights, widths], axis=1) * (side / shorter)[:, None]).astype(np.int32)


def _largest(
    heights: NDArray[np.int64], widths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Height and width of the largest rectangle in each photograph whose ratio is in `RATIO`."""
    h = np.minimum(heights, np.rint(widths / RATIO[0]))
    w = np.minimum(widths, np.rint(heights * RATIO[1]))
    return np.maximum(h, 1).astype(np.int64), np.maximum(w, 1).astype(np.int64)
