"""MNIST from its published files: the known counts, and what is said when a file is missing or wrong."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import numpy as np
import pytest

from horovod_lb.data import idx, load, mnist, require
from horovod_lb.errors import DataError

# Published label counts, digits 0 to 9.
TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.fixture
def copy(mnist_folder: Path, tmp_path: Path) -> Path:
    """A folder with links to the published files, of which a test may replace some."""
    for path in mnist_folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def packed(folder: Path, file: mnist.IdxFile) -> bytes:
    """The published file in gzip form, whichever form is in the folder."""
    path = idx.find(folder, file)
    assert path is not None
    return path.read_bytes() if path.suffix == ".gz" else gzip.compress(path.read_bytes(), 1)


def replace(folder: Path, file: mnist.IdxFile, content: bytes) -> Path:
    for path in folder.glob(f"{file.name}*"):
        path.unlink()
    path = folder / f"{file.name}.gz"
    path.write_bytes(content)
    return path


def test_the_published_set(mnist_folder: Path) -> None:
    start = time.perf_counter()
    data = load({"name": "mnist", "root": str(mnist_folder), "holdout": 0})
    assert (
        time.perf_counter() - start < 10
    )  # 0.3 s; a loader that went over the pixels in Python took minutes
    assert data.test is None
    assert data.train.x.shape == (60_000, 28, 28, 1) and data.train.x.dtype == np.uint8
    assert data.val.x.shape == (10_000, 28, 28, 1) and data.val.y.dtype == np.int64
    assert np.bincount(data.train.y).tolist() == TRAIN_COUNTS
    assert np.bincount(data.val.y).tolist() == TEST_COUNTS
    scaled = data.train.x.astype(np.float32) * data.info.scale
    assert scaled.max() == 1.0
    assert scaled.mean(dtype=np.float64) == pytest.approx(0.130660, abs=1e-6)
    assert scaled.std(dtype=np.float64) == pytest.approx(0.308108, abs=1e-6)


def test_a_holdout_is_the_end_of_the_training_set(mnist_folder: Path) -> None:
    whole = load({"name": "mnist", "root": str(mnist_folder)})
    data = load({"name": "mnist", "root": str(mnist_folder), "holdout": 5000})
    assert data.test is not None
    assert (len(data.train), len(data.val), len(data.test)) == (55_000, 5_000, 10_000)
    assert np.array_equal(np.concatenate([data.train.x, data.val.x]), whole.train.x)
    assert np.array_equal(np.concatenate([data.train.y, data.val.y]), whole.train.y)
    assert np.array_equal(data.test.x, whole.val.x) and np.array_equal(data.test.y, whole.val.y)


def test_nothing_can_be_written_into_it(mnist_folder: Path) -> None:
    data = load({"name": "mnist", "root": str(mnist_folder), "holdout": 5000})
    for part in (data.train, data.val, data.test):
        for array in (part.x, part.y):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


def test_the_folder_itself_or_the_one_above(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    above = copy.parent
    copy = copy.rename(above / "mnist")
    assert mnist.folder(str(copy)) == copy
    assert mnist.folder(str(above)) == copy
    monkeypatch.setenv("HLB_DATA", str(above))
    assert mnist.folder(None) == copy
    monkeypatch.setenv("HLB_DATA", str(copy))
    assert mnist.folder(None) == copy
    assert mnist.folder(str(above)) == copy


def test_a_batch_job_reads_the_copy_on_its_node(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HLB_DATA", str(copy))
    with pytest.raises(DataError, match=r"nowhere: there is no such folder \(`data.root` names it\)"):
        mnist.folder("nowhere")
    monkeypatch.setenv("HLB_STAGE_SECONDS", "12")
    assert mnist.folder("nowhere") == copy


def test_plain_files(copy: Path, mnist_folder: Path) -> None:
    for file in mnist.FILES:
        replace(copy, file, b"").unlink()
        (copy / file.name).write_bytes(gzip.decompress(packed(mnist_folder, file)))
    train, test = mnist.read(str(copy))
    assert np.bincount(train.y).tolist() == TRAIN_COUNTS
    assert np.bincount(test.y).tolist() == TEST_COUNTS


def test_a_wrong_image_is_noticed(copy: Path, mnist_folder: Path) -> None:
    content = bytearray(gzip.decompress(packed(mnist_folder, mnist.TEST_IMAGES)))
    content[5_000_000] ^= 1
    path = replace(copy, mnist.TEST_IMAGES, gzip.compress(content, 1))
    with pytest.raises(DataError, match="is not the published one: its content has") as caught:
        mnist.read(str(copy))
    assert str(path) in str(caught.value) and mnist.TEST_IMAGES.gzip_md5 in str(caught.value)


def test_a_broken_download(copy: Path, mnist_folder: Path) -> None:
    path = replace(copy, mnist.TRAIN_IMAGES, packed(mnist_folder, mnist.TRAIN_IMAGES)[:1_000_000])
    with pytest.raises(DataError) as caught:
        mnist.read(str(copy))
    assert f"{path}: it is truncated (1,000,000 bytes); the published .gz file has 9,912,422 bytes" in str(
        caught.value
    )
    assert "MNIST database of LeCun, Cortes and Burges" in str(caught.value)


def test_images_in_the_place_of_labels(copy: Path, mnist_folder: Path) -> None:
    replace(copy, mnist.TEST_LABELS, packed(mnist_folder, mnist.TEST_IMAGES))
    with pytest.raises(DataError, match="magic number 2051 instead of 2049"):
        mnist.read(str(copy))


def test_missing_files_are_named_with_their_md5(tmp_path: Path) -> None:
    (tmp_path / "train-labels-idx1-ubyte.gz").touch()
    with pytest.raises(DataError) as caught:
        mnist.read(str(tmp_path))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}: missing, plain or as .gz: train-images-idx3-ubyte.gz")
    assert "train-labels" not in message
    assert "9fb629c4189551a2d022fa330f9573f3" in message and "LeCun, Cortes and Burges" in message


def test_no_folder_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HLB_DATA", raising=False)
    with pytest.raises(DataError, match=r"`root: FOLDER`.*HLB_DATA.*train-images-idx3-ubyte"):
        mnist.read(None)
    with pytest.raises(DataError, match=r"nowhere: there is no such folder \(`data.root` names it\)"):
        mnist.read(str(tmp_path / "nowhere"))
    monkeypatch.setenv("HLB_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"nowhere: there is no such folder \(HLB_DATA names it\)"):
        mnist.read(None)


def test_a_missing_file_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HLB_DATA", raising=False)
    require({"name": "digits"})
    with pytest.raises(DataError, match="no folder is named"):
        require({"name": "mnist"})
    with pytest.raises(DataError, match=r"missing, plain or as \.gz: train-images"):
        require({"name": "mnist", "root": str(tmp_path)})
