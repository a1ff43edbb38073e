"""Pad, crop and flip against the same done with `numpy.pad` image by image; and what it depends on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horovod_lb.data import Arrays, Augmented, from_arrays
from horovod_lb.data.augment import pad_crop_flip
from horovod_lb.data.feed import stream
from horovod_lb.data.order import Order
from horovod_lb.data.portion import Portion


def made(n: int, height: int = 8, width: int = 6, channels: int = 3, dtype: type = np.uint8) -> Arrays:
    x = np.random.default_rng(n).integers(1, 256, (n, height, width, channels)).astype(dtype)
    return Arrays(x, np.arange(n))


def one_by_one(x, pad, down, right, flip):
    """As in public scripts: pad an image with zeros, cut out its own size, mirror it."""
    out = []
    for image, i, j, mirrored in zip(x, down, right, flip, strict=True):
        padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
        crop = padded[i : i + image.shape[0], j : j + image.shape[1]]
        out.append(np.fliplr(crop) if mirrored else crop)
    return np.stack(out)


@settings(max_examples=60)
@given(
    st.integers(1, 7), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(0, 4), st.data()
)
def test_every_crop_and_mirroring(n, height, width, channels, pad, data) -> None:
    dtype = data.draw(st.sampled_from([np.uint8, np.float32]))
    x = made(n, height, width, channels, dtype).x
    places = st.lists(st.integers(0, 2 * pad), min_size=n, max_size=n)
    down, right = np.array(data.draw(places)), np.array(data.draw(places))
    flip = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    before = x.copy()
    found = pad_crop_flip(x, pad, down, right, flip)
    assert found.dtype == dtype and np.array_equal(found, one_by_one(x, pad, down, right, flip))
    assert np.array_equal(x, before)


def test_places_and_mirroring_are_even() -> None:
    """81 crops by 2 mirrorings, chi-square with 161 degrees of freedom: below its 99.9 % point, 221.

    The one bright pixel of an image of 9 x 9 shows the crop, marks on its left show the mirroring.
    """
    x = np.zeros((1, 9, 9, 2), np.uint8)
    x[0, 4, 4, 0], x[0, 4, :4, 1] = 1, 1
    examples = Augmented(Arrays(np.repeat(x, 2, axis=0), np.zeros(2, np.int64)), seed=5)
    n = 16_200
    found, _ = examples.take(np.zeros(n, np.int64), np.arange(n))
    place = found[..., 0].reshape(n, 81).argmax(axis=1)
    # To the left of the bright pixel are the marks, or after mirroring to its right.
    marks = found[..., 1].sum(axis=1)
    columns = place % 9
    left = np.array([row[:c].sum() for row, c in zip(marks, columns, strict=True)])
    right = np.array([row[c + 1 :].sum() for row, c in zip(marks, columns, strict=True)])
    seen = (left > 0) ^ (right > 0)  # of a crop at the very edge no mark may be left
    counts = np.bincount(place, minlength=81)
    assert ((counts - n / 81) ** 2 / (n / 81)).sum() < 124.8  # 80 degrees of freedom
    mirrored = (right > 0)[seen].mean()
    assert abs(mirrored - 0.5) < 4 * 0.5 / seen.sum() ** 0.5


def test_an_example_of_an_epoch_is_the_same_whoever_asks_in_whatever_company() -> None:
    examples = Augmented(made(50), seed=9)
    indices, epochs = np.arange(50).repeat(3), np.tile(np.arange(3), 50)
    x, y = examples.take(indices, epochs)
    assert np.array_equal(y, indices)
    order = np.random.default_rng(0).permutation(150)
    assert np.array_equal(examples.take(indices[order], epochs[order])[0], x[order])
    for i in (0, 77, 149):
        assert np.array_equal(examples.take(indices[i : i + 1], epochs[i : i + 1])[0][0], x[i])


def test_epochs_examples_and_seeds_differ() -> None:
    same = Arrays(np.repeat(made(1).x, 40, axis=0), np.zeros(40, np.int64))
    kinds = {
        image.tobytes()
        for seed in (0, 1, 2)
        for epoch in range(20)
        for image in Augmented(same, seed).take(np.arange(40), np.full(40, epoch))[0]
    }
    assert len(kinds) > 150  # of 9 · 9 · 2 that there are
    first = Augmented(same, 0).take(np.arange(40), np.zeros(40, np.int64))[0]
    assert not np.array_equal(first, Augmented(same, 0).take(np.arange(40), np.ones(40, np.int64))[0])
    assert not np.array_equal(first, Augmented(same, 1).take(np.arange(40), np.zeros(40, np.int64))[0])


def test_evaluation_sees_the_images_as_they_are() -> None:
    arrays = made(5)
    x, y = Augmented(arrays, 1).take(np.array([4, 0]))
    assert np.array_equal(x, arrays.x[[4, 0]]) and y.tolist() == [4, 0]


def test_a_seed_reaches_the_training_examples_alone() -> None:
    arrays = made(6)
    data = from_arrays((arrays.x, arrays.y), (arrays.x, arrays.y), augment="standard").seeded(7)
    assert data.train.seed == 7 and isinstance(data.val, Arrays)
    plain = from_arrays((arrays.x, arrays.y), (arrays.x, arrays.y))
    assert plain.seeded(7) is plain


@pytest.mark.parametrize("ranks", [1, 2, 3, 6])
@pytest.mark.parametrize("start", [0, 5])
def test_pixels_of_a_step_do_not_depend_on_the_ranks_nor_on_where_training_went_on(ranks, start) -> None:
    """Through the order, the partition and the feed of the run loop, with batches that hold two epochs."""
    examples, order = Augmented(made(31), seed=2), Order(31, 18, "continuous", seed=2)
    parts = []
    for rank in range(ranks):
        portion = Portion(order, 6, ranks, rank)
        batches = list(stream(examples, portion.requests(start, 8)))
        parts.append([x for x, _ in batches])
    for number, step in enumerate(range(start, 8)):
        whole, _ = examples.take(order.step_indices(step), order.step_epochs(step))
        assert np.array_equal(np.concatenate([part[number] for part in parts]), whole)
