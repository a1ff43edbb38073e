"""Synthetic sets: what is asked for, by whomever, is the same; labels even; learnable or not."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horovod_lb.data import DataInfo, Synthetic, describe, load
from horovod_lb.errors import DataError

WORDS = {"name": "synthetic", "shape": [6, 5, 2], "classes": 4, "examples": 500}


def test_what_is_loaded_is_what_was_described() -> None:
    assert describe(WORDS) == DataInfo("synthetic", 500, 1000, 0, 4, (6, 5, 2), 1 / 255)
    words = {**WORDS, "val_examples": 20, "test_examples": 30}
    data = load(words)
    assert data.info == describe(words)
    assert (len(data.train), len(data.val), len(data.test)) == (500, 20, 30)
    assert load(WORDS).test is None
    x, y = data.train.take(np.array([499, 0, 499]))
    assert x.shape == (3, 6, 5, 2) and x.dtype == np.uint8 and y.dtype == np.int64
    assert np.array_equal(x[0], x[2]) and y[0] == y[2] and not np.array_equal(x[0], x[1])


@given(st.lists(st.integers(0, 499), max_size=20), st.booleans(), st.integers(0, 2**63))
def test_an_example_is_the_same_whoever_asks(indices: list[int], learnable: bool, seed: int) -> None:
    examples = Synthetic(500, (3, 2), 4, seed, learnable=learnable)
    x, y = examples.take(np.array(indices, np.int64), np.zeros(len(indices), np.int64))
    assert x.shape == (len(indices), 3, 2) and len(y) == len(indices)
    for row, i in enumerate(indices[:3]):
        again, label = Synthetic(500, (3, 2), 4, seed, learnable=learnable).take(np.array([i]))
        assert np.array_equal(again[0], x[row]) and label[0] == y[row]


def test_parts_and_seeds_differ() -> None:
    data, other = load({**WORDS, "test_examples": 500}), load({**WORDS, "seed": 1})
    rows = np.arange(500)
    sets = [part.take(rows) for part in (data.train, data.val, data.test, other.train)]
    for a in range(4):
        for b in range(a):
            assert (sets[a][1] != sets[b][1]).mean() > 0.5
            assert not (sets[a][0] == sets[b][0]).reshape(500, -1).all(axis=1).any()


def test_the_seed_of_a_run_leaves_the_set_as_it_is() -> None:
    x, _ = load(WORDS, seed=0).train.take(np.arange(9))
    assert np.array_equal(load(WORDS, seed=5).seeded(6).train.take(np.arange(9))[0], x)


def test_values_and_labels_are_even() -> None:
    """Chi-square below the 99.9 % points: 16.3 with 3 and 330.5 with 255 degrees of freedom."""
    x, y = load({**WORDS, "examples": 8000, "learnable": False}).train.take(np.arange(8000))
    assert ((np.bincount(y, minlength=4) - 2000) ** 2 / 2000).sum() < 16.3
    counts = np.bincount(x[:, 0, 0, 0], minlength=256)
    assert ((counts - 31.25) ** 2 / 31.25).sum() < 330.5


def nearest_class(words: dict[str, object]) -> float:
    """Accuracy on the validation set of the nearest mean of the training set's classes."""
    data = load({**words, "examples": 2000, "shape": [8, 8, 3]})
    x, y = data.train.take(np.arange(2000))
    means = np.stack([x[y == c].mean(axis=0, dtype=np.float64) for c in range(4)]).reshape(4, -1)
    images, labels = data.val.take(np.arange(1000))
    distance = ((images.reshape(-1, 1, 192) - means) ** 2).sum(axis=2)
    return float((distance.argmin(axis=1) == labels).mean())


def test_learnable_or_not() -> None:
    assert nearest_class(WORDS) > 0.99
    chance = nearest_class({**WORDS, "learnable": False})
    assert abs(chance - 0.25) < 4 * (0.25 * 0.75 / 1000) ** 0.5


def test_a_set_as_large_as_imagenet_costs_no_memory() -> None:
    data = load({"name": "synthetic", "shape": [224, 224, 3], "classes": 1000, "examples": 1_281_167})
    started = time.perf_counter()
    x, y = data.train.take(np.arange(1_281_167 - 64, 1_281_167))
    assert time.perf_counter() - started < 5  # 15 ms, and 60 for the pool of noise before the first
    assert x.shape == (64, 224, 224, 3) and y.max() < 1000


@pytest.mark.parametrize("index", [-1, 500])
def test_there_is_nothing_beyond(index: int) -> None:
    with pytest.raises(IndexError):
        load(WORDS).train.take(np.array([0, index]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"examples": None}, "data.examples: a synthetic set must say"),
        ({"classes": None}, "data.classes: a synthetic set must say"),
        ({"shape": None}, "data.shape: a synthetic set must say"),
        ({"holdout": 5}, "data.holdout: a synthetic set is split by `val_examples`"),
        ({"augment": "standard"}, "data.augment: synthetic has none, not 'standard'"),
    ],
)
def test_wrong_words(change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        describe({**WORDS, **change})
