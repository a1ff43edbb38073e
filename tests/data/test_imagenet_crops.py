from __future__ import annotations

import math

import numpy as np
from scipy import stats

from horovod_lb.data.imagenet import crops


def draw(n: int, height: int, width: int, seed: int = 1, epoch: int = 0) -> tuple[np.ndarray, np.ndarray]:
    size = np.ones(n, np.int64)
    return crops.random_crops(height * size, width * size, seed, epoch * size, np.arange(n))


def test_crops_lie_within_the_photograph_and_its_bounds() -> None:
    rng = np.random.default_rng(0)
    heights, widths = rng.integers(1, 700, (2, 4000))
    boxes, _ = crops.random_crops(heights, widths, 7, rng.integers(0, 90, 4000), np.arange(4000))
    top, left, h, w = boxes.T.astype(np.int64)
    assert (top >= 0).all() and (left >= 0).all() and (h >= 1).all() and (w >= 1).all()
    assert (top + h <= heights).all() and (left + w <= widths).all()
    # Rounded to whole pixels, the ratio of a crop is off by at most half a pixel on either side.
    assert ((w + 0.5) / (h - 0.5) >= 3 / 4).all() and ((w - 0.5) / (h + 0.5) <= 4 / 3).all()


def test_the_distribution() -> None:
    """Where every draw fits: area and place even, the ratio even in its logarithm, half mirrored."""
    boxes, mirrored = draw(20_000, 10_000, 10_000)
    top, left, h, w = boxes.T.astype(float)
    area = h * w / 1e8
    small = area < 0.75  # above, wide crops do not fit and are drawn again
    even = stats.kstest((area[small] - 0.08) / 0.67, "uniform")
    ratio = stats.kstest((np.log(w / h)[small] / math.log(4 / 3) + 1) / 2, "uniform")
    place_y, place_x = top / (10_000 - h + 1), left / (10_000 - w + 1)
    down, right = stats.kstest(place_y, "uniform"), stats.kstest(place_x, "uniform")
    assert min(even.pvalue, ratio.pvalue, down.pvalue, right.pvalue) > 0.01
    assert abs(mirrored.mean() - 0.5) < 0.02
    assert abs(np.corrcoef([mirrored, area, place_y, place_x]) - np.eye(4)).max() < 0.03


def test_the_center_where_nothing_fits() -> None:
    """A strip of 10 x 1,000: an area of 8 % and a ratio of 4/3 need 24.5 rows at least."""
    boxes, _ = draw(50, 10, 1000)
    assert (boxes == [0, (1000 - 13) // 2, 10, 13]).all()
    boxes, _ = draw(50, 1000, 10)
    assert (boxes == [(1000 - 13) // 2, 0, 13, 10]).all()


def test_a_crop_is_a_function_of_seed_epoch_and_example() -> None:
    examples, epochs = np.array([5, 9, 5, 700]), np.array([0, 3, 1, 0])
    sizes = np.full(4, 300)
    boxes, mirrored = crops.random_crops(sizes, sizes, 11, epochs, examples)
    for place in range(4):
        one = slice(place, place + 1)
        alone, flip = crops.random_crops(sizes[one], sizes[one], 11, epochs[one], examples[one])
        assert (alone[0] == boxes[place]).all() and flip[0] == mirrored[place]
    assert len(np.unique(boxes, axis=0)) == 4
    others = crops.random_crops(sizes, sizes, 12, epochs, examples)[0]
    assert not (others == boxes).all(axis=1).any()


def test_shapes_of_evaluation() -> None:
    shapes = crops.resized_shapes(np.array([500, 375, 256, 100]), np.array([375, 500, 256, 333]), 224)
    assert shapes.tolist() == [[341, 256], [256, 341], [256, 256], [256, 852]]
    assert crops.resized_shapes(np.array([100]), np.array([50]), 112).tolist() == [[256, 128]]
