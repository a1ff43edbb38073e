"""Sets in IDX files of any shape and type, written here byte by byte; planning with and without the files."""

from __future__ import annotations

import gzip
import lzma
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from horovod_lb.data import DataInfo, describe, idx, idx_sets, load, require
from horovod_lb.data.files import DamagedError
from horovod_lb.errors import DataError

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
NAMES = dict(idx_sets.FILES)


def content(values: np.ndarray) -> bytes:
    """An IDX file by its definition: magic number, dimensions and values, all big-endian."""
    head = bytes([0, 0, CODES[values.dtype.str[1:]], values.ndim]) + struct.pack(
        f">{values.ndim}I", *values.shape
    )
    return head + values.astype(values.dtype.newbyteorder(">")).tobytes()


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape).astype(np.uint8)


def labels(n: int, classes: int = 7) -> np.ndarray:
    return (np.arange(n) % classes).astype(np.uint8)


class Folder:
    """A folder with a set; `parts` are the values of the four files by the option that names them."""

    def __init__(self, path: Path, *shape: int, train: int = 30, test: int = 12) -> None:
        self.path = path
        self.parts = {
            "train_images": pixels(train, *shape),
            "train_labels": labels(train),
            "test_images": pixels(test, *shape),
            "test_labels": labels(test),
        }
        self.data = {"name": "idx", "set": "shapes", "root": str(path)}
        self.write()

    def write(self, suffix: str = "") -> None:
        pack = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[suffix]
        for key, values in self.parts.items():
            (self.path / f"{NAMES[key]}{suffix}").write_bytes(pack(content(values)))

    def refused(self, **words: object) -> str:
        with pytest.raises(DataError) as caught:
            load({**self.data, **words})
        return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path, 5, 4)


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
@pytest.mark.parametrize(("shape", "seen"), [((5, 4), (5, 4, 1)), ((6, 3, 3), (6, 3, 3)), ((9,), (9,))])
def test_any_shape_in_any_form(tmp_path: Path, suffix: str, shape, seen) -> None:
    made = Folder(tmp_path, *shape)
    for path in tmp_path.iterdir():
        path.unlink()
    made.write(suffix)
    info = describe(made.data)
    assert info == DataInfo("idx", 30, 12, 0, 7, seen, 1 / 255)
    data = load(made.data)
    assert data.info == info and data.test is None and data.train.x.dtype == np.uint8
    assert np.array_equal(data.train.x.reshape(30, *shape), made.parts["train_images"])
    assert np.array_equal(data.val.y, made.parts["test_labels"]) and data.val.y.dtype == np.int64
    for array in (data.train.x, data.train.y):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_a_holdout_is_the_end_of_the_training_set(folder: Folder) -> None:
    info = describe({**folder.data, "holdout": 8})
    assert (info.train_examples, info.val_examples, info.test_examples) == (22, 8, 12)
    data = load({**folder.data, "holdout": 8})
    assert np.array_equal(data.val.x[..., 0], folder.parts["train_images"][22:])
    assert np.array_equal(data.test.x[..., 0], folder.parts["test_images"])


def test_the_published_mnist_is_one(mnist_folder: Path) -> None:
    data = {"name": "idx", "set": "mnist", "root": str(mnist_folder.parent)}
    found, known = describe(data), describe({"name": "mnist"})
    assert (found.train_examples, found.val_examples, found.classes, found.shape, found.scale) == (
        known.train_examples,
        known.val_examples,
        known.classes,
        known.shape,
        known.scale,
    )


def test_other_names(folder: Folder) -> None:
    words = {}
    for key, name in NAMES.items():
        words[key] = f"letters-{key}.idx"
        (folder.path / name).rename(folder.path / words[key])
    with pytest.raises(DataError, match=r"missing.*train-images-idx3-ubyte \(data\.train_images\)"):
        require(folder.data)
    require({**folder.data, **words})
    assert len(load({**folder.data, **words}).train) == 30


def test_the_subfolder_of_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fashion-mnist").mkdir()
    Folder(tmp_path / "fashion-mnist", 2, 2)
    monkeypatch.setenv("HLB_DATA", str(tmp_path))
    assert describe({"name": "idx", "set": "fashion-mnist"}).shape == (2, 2, 1)


@pytest.mark.parametrize("kind", ["f4", "f8", "i2"])
def test_values_of_other_types(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "values"
    values = np.array([[1.5, -2], [3, 4], [-5, 6.25]]).astype(kind)
    path.write_bytes(content(values))
    found = idx.values(path)
    assert found.dtype == np.dtype(kind) and found.dtype.isnative and np.array_equal(found, values)


def test_float_images_and_wide_labels(folder: Folder) -> None:
    folder.parts["train_images"] = folder.parts["train_images"].astype(np.float32) / 16
    folder.parts["test_images"] = folder.parts["test_images"].astype(np.float32) / 16
    folder.parts["train_labels"] = (labels(30).astype(np.int32)) + 300
    folder.parts["test_labels"] = labels(12).astype(np.int32)
    folder.write()
    assert describe(folder.data).classes == 307
    assert "data.scale: these images are no bytes" in folder.refused()
    data = load({**folder.data, "scale": 0.5})
    assert data.train.x.dtype == np.float32 and data.info.scale == 0.5
    assert np.array_equal(data.train.x[..., 0], folder.parts["train_images"])
    folder.parts["train_images"] = folder.parts["train_images"].astype(np.float64)
    folder.write()
    assert "it holds float64 values; uint8 and float32 are read" in folder.refused(scale=1.0)


def test_a_mean_and_deviation_for_each_channel(tmp_path: Path) -> None:
    made = Folder(tmp_path, 4, 4, 3)
    words = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.25, 1.0]}
    data = load({**made.data, **words})
    x = data.train.x[:2].astype(np.float32)
    assert np.allclose(data.info.normalization(x), (x / 255 - words["mean"]) / words["std"], atol=1e-6)
    assert "need a value for each of the 3 channels" in made.refused(mean=[0.1], std=[1.0])
    assert "there are 3 and 0" in made.refused(mean=[0.1, 0.2, 0.3])


def test_planning_where_the_files_are_not(tmp_path: Path) -> None:
    data = {"name": "idx", "set": "letters", "root": str(tmp_path)}
    with pytest.raises(DataError) as caught:
        describe(data)
    message = str(caught.value)
    assert (
        f"{tmp_path}: missing, plain or as .gz or .xz: train-images-idx3-ubyte (data.train_images)" in message
    )
    assert "To plan where the files are not, state examples, test_examples, classes, shape" in message
    stated = {**data, "examples": 30, "test_examples": 12, "classes": 7, "shape": [5, 4, 1]}
    info = describe({**stated, "root": "/nowhere", "holdout": 5})
    assert info == DataInfo("idx", 25, 5, 12, 7, (5, 4, 1), 1 / 255)
    made = Folder(tmp_path, 5, 4)
    assert len(load(stated).train) == 30
    assert "holds 30 x 5 x 4 values; the study says 31 examples of 5 x 4 x 1" in made.refused(
        **{**stated, "examples": 31}
    )
    assert "the study says 29" in made.refused(examples=29)
    assert "data.shape: the study says (4, 5, 1)" in made.refused(shape=[4, 5, 1])


def test_planning_reads_no_pixels_and_no_numpy(folder: Folder) -> None:
    """The images are cut behind their headers, and are described all the same."""
    for key in ("train_images", "test_images"):
        path = folder.path / NAMES[key]
        path.write_bytes(path.read_bytes()[:16])
    code = (
        f"import sys; from horovod_lb.data import describe\ninfo = describe({folder.data!r})\n"
        "print(info.train_examples, info.shape, info.classes, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "30 (5, 4, 1) 7 False"
    assert "train-images-idx3-ubyte: it is truncated: 16 bytes instead of the 616 of 30 x 5 x 4 values" in (
        folder.refused()
    )


def test_nothing_is_written_to_the_folder(folder: Folder) -> None:
    folder.write(".xz")
    before = {path: path.stat().st_mtime_ns for path in (folder.path, *folder.path.iterdir())}
    load(folder.data)
    assert before == {path: path.stat().st_mtime_ns for path in (folder.path, *folder.path.iterdir())}


def test_a_changed_file_is_described_anew(folder: Folder) -> None:
    assert describe(folder.data).train_examples == 30
    Folder(folder.path, 5, 4, train=40)
    assert describe(folder.data).train_examples == 40


@pytest.mark.parametrize(
    ("key", "values", "message"),
    [
        ("train_labels", labels(29), "t10k|train-labels-idx1-ubyte: it holds 29 labels for 30 examples"),
        ("test_images", pixels(12, 4, 5), "its images are 4 x 5, those of the training set 5 x 4"),
        ("train_images", labels(30), "train-images-idx3-ubyte: it holds 30 values, no images"),
        ("train_images", pixels(0, 5, 4), "it holds 0 x 5 x 4 values, no images"),
        ("test_labels", pixels(12, 1), "it holds 12 x 1 labels for 12 examples"),
    ],
)
def test_files_that_do_not_fit_together(folder: Folder, key: str, values, message: str) -> None:
    folder.parts[key] = values
    folder.write()
    assert message.split("|")[-1] in folder.refused()


def test_labels_out_of_range(folder: Folder) -> None:
    message = folder.refused(classes=6)
    assert "train-labels-idx1-ubyte: labels from 0 to 6; they must be whole numbers from 0 to 5" in message
    folder.parts["train_labels"] = (labels(30).astype(np.int8)) - 1
    folder.write()
    assert "labels from -1 to 5" in folder.refused(classes=7)
    folder.parts["train_labels"] = labels(30).astype(np.float32)
    folder.write()
    assert "must be whole numbers" in folder.refused(classes=7)


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (b"", "it is not an IDX file"),
        (b"<!DOCTYPE html>", "it is not an IDX file (it begins with b'<!DO')"),
        (b"\0\0\x08\x03\0\0\0\x1e\0\0", "it is truncated: 10 bytes, less than its header"),
        (b"\0\0\x07\x01\0\0\0\x00", "it is not an IDX file"),
        (b"\0\0\x08\0", "it is not an IDX file"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_damaged_headers(folder: Folder, damaged: bytes, message: str, packed: bool) -> None:
    path = folder.path / NAMES["train_images"]
    path.unlink()
    path = path.with_name(f"{path.name}.gz") if packed else path
    path.write_bytes(gzip.compress(damaged) if packed else damaged)
    found = folder.refused()
    assert str(path) in found and message in found


def test_a_file_that_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "values"
    path.write_bytes(content(labels(3)) + b"x")
    with pytest.raises(DamagedError, match="too long: 12 bytes instead of the 11 of 3 values"):
        idx.values(path)


def test_broken_compression(folder: Folder) -> None:
    path = folder.path / NAMES["test_images"]
    packed = gzip.compress(path.read_bytes())
    path.unlink()
    path = path.with_name(f"{path.name}.gz")
    path.write_bytes(packed[:15])
    assert f"{path}: it is truncated" in folder.refused()
    path.write_bytes(b"plain text")
    assert f"{path}: it cannot be read" in folder.refused()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(folder: Folder) -> None:
    (folder.path / NAMES["test_images"]).chmod(0)
    assert "cannot be read (Permission denied)" in folder.refused()
