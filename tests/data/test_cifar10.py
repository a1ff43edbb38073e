"""CIFAR-10 from its published files: known counts and moments, both versions, what is said of wrong files."""

from __future__ import annotations

import gzip
import io
import lzma
import pickle
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import python2_pickle

from horovod_lb.data import cifar10, describe, load, require
from horovod_lb.data.augment import Augmented
from horovod_lb.errors import DataError

NAMES = list(cifar10.SHA256)


@pytest.fixture(scope="session")
def unpacked(cifar10_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The published batches, plain; reading them compressed is thereby tested."""
    folder = tmp_path_factory.mktemp("cifar10")
    for batch in cifar10.locate(str(cifar10_folder)):
        (folder / f"{batch.name}.bin").write_bytes(cifar10.records(batch).tobytes())
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def copy(unpacked: Path, tmp_path: Path) -> Path:
    """A folder with links to the plain batches, of which a test may replace some."""
    for path in unpacked.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def replace(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    return path


def refused(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        cifar10.read(str(folder))
    return str(caught.value)


def test_the_published_set(unpacked: Path) -> None:
    data = load({"name": "cifar10", "root": str(unpacked), "holdout": 0})
    assert data.info == describe({"name": "cifar10"}) and data.test is None
    assert data.train.x.shape == (50_000, 32, 32, 3) and data.train.x.dtype == np.uint8
    assert data.val.x.shape == (10_000, 32, 32, 3) and data.val.y.dtype == np.int64
    assert np.bincount(data.train.y).tolist() == [5000] * 10
    assert np.bincount(data.val.y).tolist() == [1000] * 10
    for array in (data.train.x, data.train.y, data.val.x, data.val.y):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    # The published mean and standard deviation of each channel make the network's input.
    values = np.arange(256) / 255
    for channel in range(3):
        share = np.bincount(data.train.x[..., channel].reshape(-1), minlength=256) / (50_000 * 32 * 32)
        mean = share @ values
        assert mean == pytest.approx(data.info.mean[channel], abs=1e-7)
        assert (share @ (values - mean) ** 2) ** 0.5 == pytest.approx(data.info.std[channel], abs=1e-7)
    some = data.train.x[::500]
    inputs = data.info.normalization(some.astype(np.float32))
    assert inputs.dtype == np.float32
    assert np.allclose(inputs, (some / 255 - data.info.mean) / data.info.std, atol=1e-5)


def test_pixels_are_where_the_format_has_them(unpacked: Path) -> None:
    """1 byte of label, then 1,024 of red, green and blue each, row by row."""
    with (unpacked / "data_batch_3.bin").open("rb") as file:
        file.seek(1234 * 3073)
        record = file.read(3073)
    train, _ = cifar10.read(str(unpacked))
    image = train.x[21_234]
    assert train.y[21_234] == record[0]
    for row, column, channel in ((0, 0, 0), (31, 31, 2), (5, 17, 1), (17, 5, 0)):
        assert image[row, column, channel] == record[1 + 1024 * channel + 32 * row + column]


def test_splits_and_augmentation(unpacked: Path) -> None:
    whole = load({"name": "cifar10", "root": str(unpacked)})
    words = {"name": "cifar10", "root": str(unpacked), "holdout": 5000, "augment": "standard"}
    data = load(words, seed=4)
    assert (len(data.train), len(data.val), len(data.test)) == (45_000, 5_000, 10_000)
    assert isinstance(data.train, Augmented) and data.train.seed == 4
    assert np.array_equal(data.val.x, whole.train.x[45_000:])
    rows = np.array([0, 44_999])
    assert np.array_equal(data.train.take(rows)[0], whole.train.x[rows])
    x, y = data.train.take(rows, np.array([0, 3]))
    assert x.shape == (2, 32, 32, 3) and x.dtype == np.uint8 and np.array_equal(y, whole.train.y[rows])
    assert np.array_equal(x, load(words).seeded(4).train.take(rows, np.array([0, 3]))[0])


def test_one_form_or_another(cifar10_folder: Path, unpacked: Path, tmp_path: Path) -> None:
    plain = (unpacked / "test_batch.bin").read_bytes()
    path = tmp_path / "test_batch.bin.gz"
    path.write_bytes(gzip.compress(plain, 0))
    found = cifar10.records(cifar10.Batch("test_batch", path, pickled=False))
    assert found.tobytes() == plain
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz", compresslevel=0) as archive:
        archive.add(unpacked / "test_batch.bin", "cifar-10-batches-bin/test_batch.bin")
    batches = cifar10.locate(str(tmp_path))
    assert [batch.name for batch in batches] == NAMES
    assert cifar10.records(batches[-1]).tobytes() == plain
    with pytest.raises(DataError, match=r"tar\.gz, .*data_batch_1\.bin: it is not in this archive"):
        cifar10.records(batches[0])


@pytest.mark.parametrize("inner", ["", "cifar-10-batches-bin", "cifar-10/cifar-10-batches-bin", "cifar10"])
def test_the_folder_itself_or_one_above(tmp_path: Path, inner: str) -> None:
    folder = tmp_path / inner
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (folder / f"{name}.bin.xz").touch()
    assert cifar10.folder(str(tmp_path)) == folder
    require({"name": "cifar10", "root": str(tmp_path)})


@pytest.mark.parametrize("how", ["python2", 2, 4])
def test_the_python_version(unpacked: Path, tmp_path: Path, how: str | int) -> None:
    """Pickled by Python 2 as the published files are, and pickled anew by Python 3: the same records."""
    record = np.frombuffer((unpacked / "data_batch_2.bin").read_bytes(), np.uint8).reshape(-1, 3073)
    pixels, labels = np.ascontiguousarray(record[:, 1:]), record[:, 0].tolist()
    if how == "python2":
        content = python2_pickle.batch(pixels, labels)
        # What the official reader makes of it: the pickle is a right one.
        usual = pickle.loads(content, encoding="bytes")  # noqa: S301
        assert np.array_equal(usual[b"data"], pixels) and usual[b"labels"] == labels
    else:
        content = pickle.dumps({"data": pixels, "labels": labels, "batch_label": "2"}, protocol=how)
    path = tmp_path / "data_batch_2"
    path.write_bytes(content)
    found = cifar10.records(cifar10.Batch("data_batch_2", path, pickled=True))
    assert np.array_equal(found, record)


def test_missing_batches_are_named(copy: Path) -> None:
    (copy / "data_batch_4.bin").unlink()
    message = refused(copy)
    assert message.startswith(f"{copy}: missing, plain or as .gz or .xz: data_batch_4.bin; nor is there")
    assert "data_batch_1.bin" not in message and "c32a1d4ab5d03f1284b67883e8d87530" in message
    with pytest.raises(DataError, match=r"missing, plain or as \.gz or \.xz: data_batch_4\.bin"):
        require({"name": "cifar10", "root": str(copy)})


def test_an_empty_folder_and_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "missing, plain or as .gz or .xz: data_batch_1.bin, data_batch_2.bin" in refused(tmp_path)
    assert "there is no such folder" in refused(tmp_path / "nowhere")
    monkeypatch.delenv("HLB_DATA", raising=False)
    with pytest.raises(DataError, match="no folder is named"):
        load({"name": "cifar10"})


def test_a_cut_batch(copy: Path, unpacked: Path, cifar10_folder: Path) -> None:
    plain = (unpacked / "data_batch_5.bin").read_bytes()
    path = replace(copy, "data_batch_5.bin", plain[:1_000_000])
    assert f"{path}: it is truncated: 1,000,000 bytes instead of 30,730,000. Get cifar-10" in refused(copy)
    replace(copy, "data_batch_5.bin", plain + b"x")
    assert f"{path}: it is too long: 30,730,001 bytes" in refused(copy)
    path.unlink()
    packed = lzma.compress(plain[:200_000])
    path = replace(copy, "data_batch_5.bin.xz", packed[: len(packed) // 2])
    assert f"{path}: it is truncated ({len(packed) // 2:,} bytes)" in refused(copy)
    damaged = bytearray(packed)
    damaged[len(damaged) // 2] ^= 255
    replace(copy, "data_batch_5.bin.xz", bytes(damaged))
    assert f"{path}: it is damaged (Corrupt input data)" in refused(copy)
    replace(copy, "data_batch_5.bin.xz", b"<!DOCTYPE html><html>")
    assert f"{path}: it is not an xz file (it begins with b'<!DOCTYPE html>" in refused(copy)


@pytest.mark.parametrize("place", [0, 3073 * 17, 12_345_678])
def test_one_wrong_byte_is_noticed(copy: Path, unpacked: Path, place: int) -> None:
    """A label, which may be out of range, or a pixel."""
    content = bytearray((unpacked / "data_batch_1.bin").read_bytes())
    content[place] = content[place] ^ 128
    path = replace(copy, "data_batch_1.bin", bytes(content))
    assert f"{path}: it is not the published one: its records have the sha256" in refused(copy)


def test_a_batch_in_the_place_of_another(copy: Path, unpacked: Path) -> None:
    replace(copy, "test_batch.bin", (unpacked / "data_batch_1.bin").read_bytes())
    assert "test_batch.bin: it is not the published one" in refused(copy)


def test_a_broken_archive(tmp_path: Path) -> None:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        info = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
        info.size = 100_000
        archive.addfile(info, io.BytesIO(np.random.default_rng(0).bytes(100_000)))
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(whole.getvalue()[:50_000])
    assert f"{path}, cifar-10-batches-py/" in refused(tmp_path)
    path.write_bytes(b"no archive")
    assert "it cannot be read" in refused(tmp_path)
