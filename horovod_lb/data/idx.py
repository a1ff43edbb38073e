"""IDX files, the format of the MNIST database: a magic number, the dimensions, then the values.

The magic number is two zero bytes, one that names the type, as 8 for unsigned bytes, and the number of
dimensions; the dimensions are big-endian 32-bit integers, and so are the values' bytes ordered. Read plain or
compressed. What is checked of a published file is the uncompressed content, so a file that somebody packed
anew is as good.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from horovod_lb.data import files
from horovod_lb.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNSIGNED_BYTE = 8
TYPES = {UNSIGNED_BYTE: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
MAX_HEADER = 4 + 4 * 255


@dataclass(frozen=True)
class Header:
    """What the beginning of an IDX file says: NumPy's name of the type, and the shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def offset(self) -> int:
        """The size of the header in bytes."""
        return 4 + 4 * len(self.shape)

    @property
    def size(self) -> int:
        """The size of the uncompressed file in bytes."""
        return self.offset + int(self.dtype[2]) * math.prod(self.shape)


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
    """The file in `folder`, plain or else compressed; None if there is neither."""
    return files.find(folder, file.name)


def read(path: Path, file: IdxFile, source: str) -> NDArray[np.uint8]:
    """The content of `path`, checked against `file`: read-only uint8 of the file's shape.

    DataError names the path, the first thing that is wrong with it, and `source`, where to get the right one.
    """
    import numpy as np

    problem: str | None
    try:
        content = files.content(path)
        problem = _problem(content, file)
    except files.TruncatedError as error:
        problem = f"{error}; the published .gz file has {file.gzip_size:,} bytes"
    except files.DamagedError as error:
        problem = str(error)
    if problem:
        get = f"{source}, {file.name}.gz with the md5 {file.gzip_md5}."
        raise DataError(f"{path}: it {problem}. {get}")
    return np.frombuffer(content, np.uint8, offset=len(file.header)).reshape(file.shape)


def header(content: bytes) -> Header:
    """The header at the beginning of `content`. DamagedError: it is no IDX file."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES or not content[3]:
        raise files.DamagedError(f"is not an IDX file (it begins with {content[:4]!r})")
    if len(content) < 4 + 4 * content[3]:
        raise files.TruncatedError(f"is truncated: {len(content):,} bytes, less than its header")
    return Header(TYPES[content[2]], struct.unpack_from(f">{content[3]}I", content, 4))


def values(path: Path) -> NDArray[Any]:
    """The values in any IDX file, read-only, in this machine's order of bytes. DamagedError as `header`."""
    import numpy as np

    content = files.content(path)
    found = header(content)
    if len(content) != found.size:
        what = "truncated" if len(content) < found.size else "too long"
        raise files.DamagedError(
            f"is {what}: {len(content):,} bytes instead of the {found.size:,} of {dimensions(found.shape)} "
            "values"
        )
    stored = np.frombuffer(content, found.dtype, offset=found.offset).reshape(found.shape)
    array = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    array.flags.writeable = False
    return array


def _problem(content: bytes, file: IdxFile) -> str | None:
    """The first thing that is wrong, as a clause; None if nothing is."""
    if len(content) < len(file.header):
        return f"is truncated: {len(content):,} bytes instead of {file.size:,}"
    magic, *shape = struct.unpack_from(f">{1 + len(file.shape)}I", content)
    if magic != file.magic:
        return f"has the magic number {magic} instead of {file.magic}"
    if tuple(shape) != file.shape:
        return f"holds {dimensions(shape)} values instead of {dimensions(file.shape)}"
    if len(content) != file.size:
        what = "truncated" if len(content) < file.size else "too long"
        return f"is {what}: {len(content):,} bytes instead of {file.size:,}"
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        return f"is not the published one: its content has the sha256 {found} instead of {file.sha256}"
    return None


def dimensions(shape: Sequence[int]) -> str:
    """As in "60,000 x 28 x 28"."""
    return " x ".join(f"{n:,}" for n in shape)
