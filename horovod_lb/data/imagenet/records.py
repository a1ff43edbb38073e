"""TFRecord files: a length, the masked CRC-32C of the length, the record, the masked CRC-32C of the record.

Numbers are little-endian, the length has 64 bits, the checksums 32; a checksum c is stored as
(c rotated right by 15 bits) + 0xa282ead8 mod 2^32. Any record can be read on its own once it is known where
it begins.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from google_crc32c import value as crc32c

from horovod_lb.errors import DataError

HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")
FRAME = HEADER.size + FOOTER.size  # bytes that a record takes beside its own
_LENGTH = struct.Struct("<Q")


def masked(checksum: int) -> int:
    """A checksum as it is stored."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def framed(record: bytes) -> bytes:
    """`record` as it stands in a file."""
    length = _LENGTH.pack(len(record))
    return b"".join(
        (length, FOOTER.pack(masked(crc32c(length))), record, FOOTER.pack(masked(crc32c(record))))
    )


def scan(path: Path) -> list[int]:
    """Where each record of the file begins, in bytes; reads the lengths alone.

    DataError: a length whose checksum is wrong, or a file that ends within a record.
    """
    offsets: list[int] = []
    with _opened(path) as file:
        descriptor = file.fileno()
        size = os.fstat(descriptor).st_size
        position = 0
        while position < size:
            number = len(offsets)
            header = os.pread(descriptor, HEADER.size, position)
            if len(header) < HEADER.size:
                raise _cut(path, number, position, size, HEADER.size)
            length, checksum = HEADER.unpack(header)
            if masked(crc32c(header[: _LENGTH.size])) != checksum:
                raise DataError(
                    f"{path}: damaged: the length of record {number} (at byte {position:,}) has a wrong "
                    "checksum. Get or prepare this shard anew"
                )
            if position + length + FRAME > size:
                raise _cut(path, number, position, size, length + FRAME)
            offsets.append(position)
            position += length + FRAME
    return offsets


def read(descriptor: int, offset: int, length: int) -> bytes:
    """The record of `length` bytes that begins at `offset`. ValueError: it is not there, or is damaged."""
    data = os.pread(descriptor, length + FRAME, offset)
    if len(data) != length + FRAME or _LENGTH.unpack_from(data)[0] != length:
        raise ValueError("is not where the index has it: the file was changed while it was in use")
    record = data[HEADER.size : -FOOTER.size]
    if masked(crc32c(record)) != FOOTER.unpack_from(data, len(data) - FOOTER.size)[0]:
        raise ValueError("has a wrong checksum: the file is damaged")
    return record


def _opened(path: Path):  # type: ignore[no-untyped-def]
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise DataError(f"{path}: it cannot be read ({error.strerror})") from error


def _cut(path: Path, number: int, position: int, size: int, needed: int) -> DataError:
    return DataError(
        f"{path}: cut off: record {number} begins at byte {position:,} and needs {needed:,} bytes, but the "
        f"file ends at byte {size:,}. Get or prepare this shard anew"
    )
