"""Where the files of a data set are, and their content, plain or compressed."""

from __future__ import annotations

import gzip
import lzma
import os
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from horovod_lb.errors import DataError

SUFFIXES = ("", ".gz", ".xz")
_MAGIC = {".gz": b"\x1f\x8b", ".xz": b"\xfd7zXZ\x00"}
_KIND = {".gz": "a gzip file", ".xz": "an xz file"}


class DamagedError(Exception):
    """A file's content cannot be had; the text is a clause that goes on after "it"."""


class TruncatedError(DamagedError):
    """The compressed content ends too early."""


def folder(
    root: str | None, inner: Iterable[str], holds: Callable[[Path], bool], what: str, help: str
) -> Path:
    """The folder with the files: `root`, or where that is None $HLB_DATA; itself, or what it has in it.

    `inner` are the subfolders that are looked into, before the folder itself, for one of which `holds` is
    true. In a batch job with staged data ($HLB_STAGE_SECONDS is set) the root is $HLB_DATA in any case.
    DataError: none is named, or there is no such folder; it says `what` was looked for and ends with `help`.
    """
    # A batch job that copied the data to its nodes has put the copy's folder there.
    staged = os.environ.get("HLB_DATA") if "HLB_STAGE_SECONDS" in os.environ else None
    base = staged or root or os.environ.get("HLB_DATA")
    if not base:
        raise DataError(
            f"{what}: no folder is named. Write `root: FOLDER` into the study's `data:` section or set "
            f"HLB_DATA to the folder with {help}"
        )
    path = Path(base).expanduser()
    if not path.is_dir():
        named_by = "`data.root`" if base == root else "HLB_DATA"
        raise DataError(f"{path}: there is no such folder ({named_by} names it). It is to hold {help}")
    return next((path / name for name in inner if holds(path / name)), path)


def find(folder: Path, name: str) -> Path | None:
    """The file `name` in `folder`, plain or else compressed (.gz, .xz); None if there is none of them."""
    paths = (folder / f"{name}{suffix}" for suffix in SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def content(path: Path) -> bytes:
    """The whole content of `path`, uncompressed. DamagedError says what is wrong."""
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise DamagedError(f"cannot be read ({error.strerror})") from error
    magic = _MAGIC.get(path.suffix)
    if magic is None:
        return packed
    if not packed.startswith(magic):
        raise DamagedError(f"is not {_KIND[path.suffix]} (it begins with {packed[:16]!r})")
    try:
        return gzip.decompress(packed) if path.suffix == ".gz" else lzma.decompress(packed)
    except EOFError as error:
        raise TruncatedError(f"is truncated ({len(packed):,} bytes)") from error
    except lzma.LZMAError as error:
        if "ended before" in str(error):
            raise TruncatedError(f"is truncated ({len(packed):,} bytes)") from error
        raise DamagedError(f"is damaged ({error})") from error
    except (OSError, zlib.error) as error:
        raise DamagedError(f"is damaged ({error})") from error


def beginning(path: Path, size: int) -> bytes:
    """The first `size` bytes of the content, fewer where there are no more. DamagedError as `content`."""
    opener: Any = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
    try:
        with opener(path, "rb") as file:
            return bytes(file.read(size))
    except EOFError as error:
        raise TruncatedError("is truncated") from error
    except (OSError, zlib.error, lzma.LZMAError) as error:
        raise DamagedError(f"cannot be read ({getattr(error, 'strerror', None) or error})") from error
