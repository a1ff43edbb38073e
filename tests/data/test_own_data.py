"""One's own arrays, tf.data sets and objects: through the manual's examples, and what is refused."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from horovod_lb.data import Arrays, DataSet, from_arrays, from_tf_data, load
from horovod_lb.data.augment import Augmented
from horovod_lb.errors import DataError

MANUAL = Path(__file__).resolve().parents[2] / "docs" / "data.md"


def block(name: str) -> str:
    found = re.search(
        rf"<!-- tested: {name} -->\n```python\n(.*?)```", MANUAL.read_text(encoding="utf-8"), re.S
    )
    assert found, f"docs/data.md has no block <!-- tested: {name} -->"
    return found[1]


def study() -> str:
    return next(text for text in re.findall(r"```yaml\n(.*?)```", MANUAL.read_text(), re.S) if "job:" in text)


@pytest.fixture(scope="module")
def digits() -> Arrays:
    part = load({"name": "digits"}).train
    assert isinstance(part, Arrays)
    return part


def executed(tmp_path: Path, main: Any, *overrides: str) -> tuple[str, list[dict[str, Any]]]:
    """The manual's study trained with `main` on one rank: its state and the rows of its table."""
    from horovod_lb.runs import RunDirectory
    from horovod_lb.study import expand, load_study
    from horovod_lb.training.worker import execute

    (tmp_path / "own.py").write_text(block("own arrays"))
    (tmp_path / "study.yaml").write_text(study())
    (spec,) = expand(load_study(tmp_path / "study.yaml", [f"data.root={tmp_path}", *overrides]))
    directory = RunDirectory(tmp_path / "run").create(spec.spec)
    return execute(directory.path, main), directory.read_metrics()


def test_the_manual_s_job(tmp_path: Path, digits: Arrays) -> None:
    np.savez(
        tmp_path / "scans.npz",
        x_train=digits.x[:1000],
        y_train=digits.y[:1000],
        x_val=digits.x[1000:],
        y_val=digits.y[1000:],
    )
    names: dict[str, Any] = {"__name__": "own"}
    exec(block("own arrays"), names)  # noqa: S102  the manual's own example
    state, rows = executed(tmp_path, names["main"])
    assert state == "completed" and [row["step"] for row in rows] == [20, 40, 60]
    assert rows[-1]["val_accuracy"] > 0.6  # of ten classes


def test_the_manual_s_tf_data_and_objects(tmp_path: Path, digits: Arrays) -> None:
    tf = pytest.importorskip("tensorflow")
    import horovod_lb as hlb

    names: dict[str, Any] = {"tf": tf, "hlb": hlb, "np": np, "x": digits.x, "y": digits.y}
    exec(block("own tf.data"), names)  # noqa: S102
    data = names["data"]
    assert (data.info.train_examples, data.info.val_examples, data.info.classes) == (1000, 440, 10)
    assert np.array_equal(data.train.x, digits.x[:1000]) and np.array_equal(data.val.y, digits.y[1000:])
    exec(block("own examples"), names)  # noqa: S102
    files = [tmp_path / f"{i}.npy" for i in range(50)]
    for path, image in zip(files, digits.x, strict=False):
        np.save(path, image)
    scans = names["Scans"](files, digits.y[:50])
    rows = np.array([49, 0, 3])
    assert np.array_equal(scans.take(rows)[0], digits.x[rows]) and len(scans) == 50
    made = from_arrays(scans, scans, classes=10)
    assert made.info.shape == () and made.info.train_examples == 50


class Recorded:
    """Digits that remember what they were asked for."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays, self.asked, self.seed = arrays, [], None

    def __len__(self) -> int:
        return 1000

    def seeded(self, seed: int) -> Recorded:
        self.seed = seed
        return self

    def take(self, indices, epochs=None):
        self.asked.append((indices, epochs))
        return self.arrays.take(indices)


@pytest.mark.parametrize("remainder", ["continuous", "weighted"])
def test_the_run_loop_asks_for_each_example_once_an_epoch(
    tmp_path: Path, digits: Arrays, remainder: str
) -> None:
    """The real loop, with a batch that does not divide the epoch and groups that differ in size."""
    train, val = Recorded(digits), Recorded(digits)

    def main(run: Any) -> None:
        import horovod_lb as hlb

        run.fit(hlb.models.build("digits_cnn"), data=from_arrays(train, val, classes=10, scale=1 / 16))

    words = ["recipe.batch_size=96", "recipe.groups=8", f"recipe.remainder={remainder}", "recipe.epochs=3"]
    state, rows = executed(tmp_path, main, *words, "seeds=[5]")
    assert state == "completed" and train.seed == 5
    pairs = Counter(
        pair for asked, epochs in train.asked for pair in zip(asked.tolist(), epochs.tolist(), strict=True)
    )
    within = {pair: count for pair, count in pairs.items() if pair[1] < 3}
    assert within == {(i, e): 1 for i in range(1000) for e in range(3)}
    if remainder == "weighted":
        assert len(pairs) == 3000
    assert all(epochs is None for _, epochs in val.asked)
    evaluated = Counter(i for asked, _ in val.asked for i in asked.tolist())
    assert evaluated == dict.fromkeys(range(1000), len(rows))


def test_parts_and_description(digits: Arrays) -> None:
    x, y = digits.x[:20].astype(np.float64), digits.y[:20].astype(np.int32)
    data = from_arrays((x, y), (x, y), (x, y), classes=12, scale=0.5, mean=[0.25], std=[2])
    assert isinstance(data, DataSet) and isinstance(data.train, Arrays)
    assert data.train.x.dtype == np.float32 and data.train.y.dtype == np.int64
    assert (data.info.classes, data.info.shape, data.info.test_examples) == (12, (8, 8, 1), 20)
    inputs = data.info.normalization(data.train.x)
    assert np.allclose(inputs, (x * 0.5 - 0.25) / 2, atol=1e-6) and inputs.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        data.train.x[0] = 0
    x[0] = 9  # the caller's own array is not locked
    assert isinstance(from_arrays((x, y), (x, y), augment="standard").train, Augmented)
    assert from_arrays((x, y), (x, y)).info.classes == y.max() + 1
    lists = from_arrays(([[1.0, 2.0], [3.0, 4.0]], [0, 1]), ([[1.0, 2.0]], [1]))
    assert lists.info.shape == (2,) and lists.train.x.dtype == np.float32


X, Y = np.zeros((4, 3, 3, 1), np.uint8), np.array([0, 1, 2, 1])


@pytest.mark.parametrize(
    ("train", "words", "message"),
    [
        ((X, Y[:3]), {}, r"train: x of shape \(4, 3, 3, 1\) and y of shape \(3,\)"),
        ((X[:0], Y[:0]), {}, "n > 0"),
        ((X, np.eye(4)), {}, r"y of shape \(4, 4\)"),
        ((X, Y / 2), {}, "labels must be whole numbers from 0 on, not float64"),
        ((X, Y - 1), {}, "whole numbers from 0 on, not int64 from -1"),
        ((X.astype(np.int32), Y), {}, r"x is int32; uint8 or float is needed"),
        ((np.full(X.shape, np.nan), Y), {}, "values that are not finite"),
        ((X[:, :2], Y), {}, r"different shapes: train \(2, 3, 1\), val \(3, 3, 1\)"),
        ((X, Y), {"classes": 2}, "the largest label is 2, so there must be at least 3"),
        ((X, Y), {"mean": [1.0]}, "a value for each channel is needed in both"),
        ((X, Y), {"mean": [1.0], "std": [0.0]}, "std > 0"),
        ((X, Y), {"mean": [1.0, 2.0], "std": [1.0, 2.0]}, "a value for each channel"),
        ((X, Y), {"augment": "strong"}, "'strong' is not one of none, standard"),
        ((X, Y, Y), {}, "a pair \\(x, y\\) is needed, not 3 things"),
        (X, {}, "or an object with `__len__` and `take`"),
        (Recorded(Arrays(X, Y)), {}, "classes: it must be given"),
        (Recorded(Arrays(X, Y)), {"classes": 3, "augment": "standard"}, "standard is for arrays of images"),
    ],
)
def test_wrong_arrays(train: Any, words: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_arrays(train, (X, Y), **words)


def test_tf_data_that_will_not_do() -> None:
    tf = pytest.importorskip("tensorflow")
    slices = tf.data.Dataset.from_tensor_slices
    pairs = slices((X, Y))
    for infinite in (pairs.repeat(), pairs.shuffle(2).repeat().batch(2)):
        with pytest.raises(DataError, match="this set is infinite"):
            from_tf_data(infinite)
    with pytest.raises(DataError, match="is empty"):
        from_tf_data(pairs.take(0))
    with pytest.raises(DataError, match=r"more than 6\.24e-08 GiB \(limit_bytes\)"):
        from_tf_data(pairs, limit_bytes=67)
    assert len(from_tf_data(pairs, limit_bytes=68)) == 4  # of 9 bytes and 8 for the label each
    with pytest.raises(DataError, match="must be pairs"):
        from_tf_data(slices(X))
    with pytest.raises(DataError, match="must be pairs"):
        from_tf_data(slices({"image": X, "label": Y}))
    with pytest.raises(DataError, match="not one-hot vectors"):
        from_tf_data(slices((X, np.eye(4))))
    ragged = tf.data.Dataset.from_generator(
        lambda: iter([(np.zeros(2), 0), (np.zeros(3), 1)]),
        output_signature=(tf.TensorSpec([None]), tf.TensorSpec([], tf.int32)),
    )
    with pytest.raises(DataError, match=r"different shapes, such as \(2,\) and \(3,\)"):
        from_tf_data(ragged)


def test_tf_data_of_unknown_length() -> None:
    tf = pytest.importorskip("tensorflow")
    pairs = tf.data.Dataset.from_tensor_slices((X, Y)).filter(lambda x, y: y > 0)
    assert from_tf_data(pairs).y.tolist() == [1, 2, 1]
    assert from_tf_data(pairs.batch(2)).y.tolist() == [1, 2, 1]
