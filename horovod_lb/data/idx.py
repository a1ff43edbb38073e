"""IDX files, the format of the MNIST database: a magic number, the dimensions, then unsigned bytes.

The magic number is two zero bytes, 8 for "unsigned byte", and the number of dimensions; it and the dimensions
are big-endian 32-bit integers. Read plain or gzip-compressed. What is checked is the uncompressed content, so
a file that somebody packed anew is as good as the published one.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from horovod_lb.errors import DataError

UNSIGNED_BYTE = 8


@dataclass(frozen=True)
class IdxFile:
    """What a published IDX file holds; sizes in bytes.

    `sha256` is of the uncompressed content, `gzip_size` and `gzip_md5` of the published compressed file.
    """

    name: str
    shape: tuple[int, ...]
    sha256: str
    gzip_size: int
    gzip_md5: str

    @property
    def magic(self) -> int:
        """The first four bytes as a number: 2049 for labels, 2051 for images."""
        return UNSIGNED_BYTE << 8 | len(self.shape)

    @property
    def header(self) -> bytes:
        """The whole header, magic number and dimensions."""
        return struct.pack(f">{1 + len(self.shape)}I", self.magic, *self.shape)

    @property
    def size(self) -> int:
        """The size of the uncompressed file."""
        return len(self.header) + math.prod(self.shape)


def find(folder: Path, file: IdxFile) -> Path | None:
    """The file in `folder`, plain or else with `.gz`; None if there is neither."""
    for path in (folder / file.name, folder / f"{file.name}.gz"):
        if path.is_file():
            return path
    return None


def read(path: Path, file: IdxFile, source: str) -> NDArray[np.uint8]:
    """The content of `path`, checked against `file`: read-only uint8 of the file's shape.

    DataError names the path, the first thing that is wrong with it, and `source`, where to get the right one.
    """
    content = _content(path, file, source)
    if problem := _problem(content, file):
        raise _error(path, problem, file, source)
    return np.frombuffer(content, np.uint8, offset=len(file.header)).reshape(file.shape)


def _content(path: Path, file: IdxFile, source: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _error(path, f"it cannot be read ({error.strerror})", file, source) from error
    if path.suffix != ".gz":
        return content
    if content[:2] != b"\x1f\x8b":
        raise _error(path, f"it is not a gzip file (it begins with {content[:16]!r})", file, source)
    try:
        return gzip.decompress(content)
    except EOFError as error:
        sizes = f"{len(content):,} bytes; the published file has {file.gzip_size:,}"
        raise _error(path, f"it is truncated ({sizes})", file, source) from error
    except (OSError, zlib.error) as error:
        raise _error(path, f"it is damaged ({error})", file, source) from error


def _problem(content: bytes, file: IdxFile) -> str | None:
    """The first thing that is wrong, as a clause; None if nothing is."""
    if len(content) < len(file.header):
        return f"it is truncated: {len(content):,} bytes instead of {file.size:,}"
    magic, *shape = struct.unpack_from(f">{1 + len(file.shape)}I", content)
    if magic != file.magic:
        return f"its magic number is {magic} instead of {file.magic}"
    if tuple(shape) != file.shape:
        return f"it holds {_dimensions(shape)} values instead of {_dimensions(file.shape)}"
    if len(content) != file.size:
        what = "truncated" if len(content) < file.size else "too long"
        return f"it is {what}: {len(content):,} bytes instead of {file.size:,}"
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        return f"its content is not the published one: sha256 {found} instead of {file.sha256}"
    return None


def _dimensions(shape: tuple[int, ...] | list[int]) -> str:
    return " x ".join(f"{n:,}" for n in shape)


def _error(path: Path, problem: str, file: IdxFile, source: str) -> DataError:
    return DataError(f"{path}: {problem}. {source}, {file.name}.gz with the md5 {file.gzip_md5}.")
