"""IDX files, whole and damaged in every way, against bytes written here by hand."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from horovod_lb.data import idx
from horovod_lb.errors import DataError

SOURCE = "Get it from the library"
PIXELS = bytes(range(24))
CONTENT = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]) + PIXELS


@pytest.fixture
def published() -> idx.IdxFile:
    packed = gzip.compress(CONTENT)
    return idx.IdxFile(
        "images",
        (2, 3, 4),
        hashlib.sha256(CONTENT).hexdigest(),
        len(packed),
        hashlib.md5(packed).hexdigest(),
    )


def test_what_a_published_file_must_be(published: idx.IdxFile) -> None:
    assert published.magic == 2051
    assert published.header == CONTENT[:16]
    assert published.size == 40
    assert idx.IdxFile("labels", (5,), "", 0, "").magic == 2049


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("level", [1, 9])
def test_plain_and_compressed_at_any_level(
    tmp_path: Path, published: idx.IdxFile, packed: bool, level: int
) -> None:
    path = tmp_path / ("images.gz" if packed else "images")
    path.write_bytes(gzip.compress(CONTENT, level) if packed else CONTENT)
    assert idx.find(tmp_path, published) == path
    images = idx.read(path, published, SOURCE)
    assert images.dtype == np.uint8 and images.shape == (2, 3, 4)
    assert images[1, 2, 3] == 23 and images[0, 1, 0] == 4
    with pytest.raises(ValueError, match="read-only"):
        images[0, 0, 0] = 1


def test_a_file_that_is_not_there(tmp_path: Path, published: idx.IdxFile) -> None:
    assert idx.find(tmp_path, published) is None


def changed(position: int, value: int) -> bytes:
    return CONTENT[:position] + bytes([value]) + CONTENT[position + 1 :]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated: 0 bytes instead of 40"),
        (CONTENT[:7], "truncated: 7 bytes instead of 40"),
        (CONTENT[:30], "truncated: 30 bytes instead of 40"),
        (CONTENT + b"xyz", "too long: 43 bytes instead of 40"),
        (changed(3, 1), "magic number 2049 instead of 2051"),
        (changed(7, 9), "holds 9 x 3 x 4 values instead of 2 x 3 x 4"),
        (changed(39, 0), "is not the published one: its content has the sha256 "),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_wrong_file_says_what_is_wrong(
    tmp_path: Path, published: idx.IdxFile, packed: bool, content: bytes, message: str
) -> None:
    path = tmp_path / ("images.gz" if packed else "images")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError) as caught:
        idx.read(path, published, SOURCE)
    assert str(caught.value).startswith(f"{path}: it") and message in str(caught.value)
    assert f"{SOURCE}, images.gz with the md5 {published.gzip_md5}" in str(caught.value)
    if "sha256" in message:
        assert hashlib.sha256(content).hexdigest() in str(caught.value)
        assert published.sha256 in str(caught.value)


def test_a_truncated_archive(tmp_path: Path, published: idx.IdxFile) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(CONTENT)[:20])
    with pytest.raises(
        DataError, match=f"truncated \\(20 bytes\\); the published .gz file has {published.gzip_size} bytes"
    ):
        idx.read(path, published, SOURCE)


def test_a_page_saved_as_an_archive(tmp_path: Path, published: idx.IdxFile) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(b"<!DOCTYPE html><html>Not found</html>")
    with pytest.raises(DataError, match="not a gzip file \\(it begins with b'<!DOCTYPE html>"):
        idx.read(path, published, SOURCE)


def test_a_damaged_archive(tmp_path: Path, published: idx.IdxFile) -> None:
    path = tmp_path / "images.gz"
    packed = bytearray(gzip.compress(CONTENT))
    packed[-6] ^= 255  # the CRC
    path.write_bytes(packed)
    with pytest.raises(DataError, match="damaged \\(CRC check failed"):
        idx.read(path, published, SOURCE)


def test_a_file_that_cannot_be_read(tmp_path: Path, published: idx.IdxFile) -> None:
    path = tmp_path / "images"
    path.mkdir()
    with pytest.raises(DataError, match="cannot be read \\(Is a directory\\)"):
        idx.read(path, published, SOURCE)
