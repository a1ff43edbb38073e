"""Describing and loading data sets by name."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from horovod_lb.data import Arrays, DataInfo, catalog, describe, digits, load
from horovod_lb.errors import DataError


def test_mnist_and_its_usual_split() -> None:
    assert describe({"name": "mnist", "holdout": 5000}) == DataInfo(
        "mnist", 55_000, 5_000, 10_000, 10, (28, 28, 1), 1 / 255
    )
    assert describe({"name": "mnist", "root": None}) == DataInfo(
        "mnist", 60_000, 10_000, 0, 10, (28, 28, 1), 1 / 255
    )


def test_a_custom_set_describes_itself() -> None:
    assert describe({"name": "custom", "examples": 12}) == DataInfo("custom", 12, 0, 0, 0, (), 1.0)
    stated = {
        "examples": 12,
        "val_examples": 3,
        "test_examples": 4,
        "classes": 5,
        "shape": [2, 2, 1],
        "scale": 0.5,
    }
    assert describe({"name": "custom", **stated}) == DataInfo("custom", 12, 3, 4, 5, (2, 2, 1), 0.5)


def test_describing_imports_no_heavy_thing() -> None:
    code = (
        "import sys; from horovod_lb.data import describe\n"
        "describe({'name': 'mnist', 'holdout': 5000}); describe({'name': 'digits'})\n"
        "print({'numpy', 'sklearn', 'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("holdout", [0, 1, 240])
def test_what_is_loaded_is_what_was_described(holdout: int) -> None:
    data = load({"name": "digits", "holdout": holdout})
    info = describe({"name": "digits", "holdout": holdout})
    assert data.info == info
    assert (len(data.train), len(data.val)) == (info.train_examples, info.val_examples)
    assert (len(data.test) if data.test else 0) == info.test_examples
    assert data.train.x.shape[1:] == info.shape
    assert data.train.x.dtype == np.uint8 and data.train.y.dtype == np.int64


def test_digits_are_each_in_one_part() -> None:
    """Against scikit-learn's own arrays: the parts hold every image once, with its label."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    data = load({"name": "digits", "holdout": 240})
    assert data.test is not None
    parts = [data.train, data.val, data.test]
    x = np.concatenate([part.x for part in parts]).reshape(-1, 64)
    y = np.concatenate([part.y for part in parts])
    found = sorted([*row, label] for row, label in zip(x.tolist(), y.tolist(), strict=True))
    assert found == sorted([*row, label] for row, label in zip(images.tolist(), labels.tolist(), strict=True))
    # A tenth of each part is each class, within four standard deviations of a random split.
    for part in parts:
        share = np.bincount(part.y, minlength=10) / len(part)
        assert np.abs(share - 0.1).max() < 4 * (0.09 / len(part)) ** 0.5
    assert data.train.x.max() * data.info.scale == 1.0


def test_digits_cannot_be_written_into() -> None:
    data = load({"name": "digits"})
    for array in (data.train.x, data.train.y, data.val.x, data.val.y):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_other_digits_than_the_published_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import sklearn.datasets

    x, y = sklearn.datasets.load_digits(return_X_y=True)
    y = y.copy()
    y[0] = 7
    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda return_X_y: (x, y))
    with pytest.raises(
        DataError, match=r"digits: the set in .*sklearn .*sha256 .* instead of " + digits.SHA256
    ):
        load({"name": "digits"})


def test_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match="pip install scikit-learn"):
        load({"name": "digits"})


def test_take_gathers_in_the_order_asked_for() -> None:
    x = np.arange(24, dtype=np.uint8).reshape(6, 2, 2, 1)
    arrays = Arrays(x, np.arange(6) * 10)
    images, labels = arrays.take(np.array([5, 0, 5]))
    assert labels.tolist() == [50, 0, 50]
    assert images.dtype == np.uint8 and images.tolist() == [x[5].tolist(), x[0].tolist(), x[5].tolist()]
    images[:] = 0
    assert x[5].any() and len(arrays) == 6
    with pytest.raises(IndexError):
        arrays.take(np.array([6]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"name": "minst"},
            "'minst' is not a data set \\(did you mean mnist\\?\\); there are digits, mnist, ",
        ),
        ({"name": "zzz"}, f"'zzz' is not a data set; there are {', '.join(catalog.NAMES)}$"),
        ({}, "None is not a data set"),
        (
            {"name": "mnist", "holdout": 60_000},
            "holdout: 60,000 leaves nothing to train on; mnist has 60,000",
        ),
        ({"name": "digits", "holdout": -1}, "holdout: -1 is not a whole number"),
        ({"name": "digits", "holdout": 0.5}, "holdout: 0.5 is not a whole number"),
        ({"name": "digits", "holdout": True}, "holdout: True is not a whole number"),
        (
            {"name": "mnist", "examples": 500},
            "data.examples: only a custom set states it; that of mnist is known",
        ),
        ({"name": "custom"}, "data.examples: a custom set must say"),
        ({"name": "custom", "examples": 5, "holdout": 2}, "split by its job script"),
    ],
)
def test_a_wrong_section_is_refused(data: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        describe(data)


def test_a_custom_set_is_not_ours_to_load() -> None:
    with pytest.raises(DataError, match="loaded by the job script"):
        load({"name": "custom", "examples": 5})


def test_published_sizes_hold() -> None:
    """The sizes that planning relies on are those that the loaders enforce."""
    from horovod_lb.data import mnist

    published = catalog.PUBLISHED["mnist"]
    assert mnist.TRAIN_IMAGES.shape == (published.train_examples, *published.shape[:2])
    assert mnist.TEST_IMAGES.shape == (published.test_examples, *published.shape[:2])
