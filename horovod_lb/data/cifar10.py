"""CIFAR-10: 60,000 colour images of 32 x 32 in 10 classes, from the binary or the Python version.

Krizhevsky, "Learning multiple layers of features from tiny images", 2009. With a holdout of h the last h of
the 50,000 training images are the validation set (5,000 is usual, as in He et al., 2016) and the 10,000 test
images are the test set; without one the test images are evaluated every epoch.

What is checked is the content: the records of a batch, one byte of label and 3,072 of pixels each, have the
same checksum whichever version they were read from and however the file was packed.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from horovod_lb.data import files, unpickle
from horovod_lb.data.dataset import Arrays
from horovod_lb.errors import DataError

SOURCE = (
    "Get cifar-10-binary.tar.gz (md5 c32a1d4ab5d03f1284b67883e8d87530) or cifar-10-python.tar.gz "
    "(md5 c58f30108f718f92721af3b95e74349a) from the CIFAR page of the University of Toronto"
)
EXAMPLES = 10_000  # in a batch
PIXELS = 3 * 32 * 32
SIZE = EXAMPLES * (1 + PIXELS)
SLOW_SECONDS = 2.0
# Of the records of each batch.
SHA256 = {
    "data_batch_1": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}
_FOLDERS = ("cifar-10-batches-bin", "cifar-10-batches-py")
_INNER = (*_FOLDERS, *(f"{name}/{sub}" for name in ("cifar-10", "cifar10") for sub in (*_FOLDERS, "")))
_ARCHIVES = {"cifar-10-binary.tar.gz": ".bin", "cifar-10-python.tar.gz": ""}


@dataclass(frozen=True)
class Batch:
    """Where a batch is: a file, or a member of an archive, of which version."""

    name: str
    path: Path
    pickled: bool
    member: str | None = None


def read(root: str | None) -> tuple[Arrays, Arrays]:
    """The published training and test sets, uint8 [50000 or 10000, 32, 32, 3], read-only.

    The files are unpacked at the same time, by as many threads as there are cores. DataError: a file is
    missing, truncated or not the published one; it names the file.
    """
    batches = locate(root)
    started = time.monotonic()
    with ThreadPoolExecutor(min(len(batches), os.cpu_count() or 1), "cifar10") as pool:
        parts = list(pool.map(records, batches))
    seconds = time.monotonic() - started
    if seconds > SLOW_SECONDS and batches[0].path.suffix in (".gz", ".xz"):
        print(
            f"CIFAR-10: unpacking the files in {batches[0].path.parent} took {seconds:.1f} s, on each rank; "
            "from a copy of the folder with the unpacked files it is read in less than a second",
            file=sys.stderr,
            flush=True,
        )
    return _arrays(parts[:-1]), _arrays(parts[-1:])


def locate(root: str | None) -> list[Batch]:
    """Where the six batches are, the test batch last; `root` as in `folder`. DataError: one is missing."""
    where = folder(root)
    found = _versions(where)
    best = max(found, key=len)
    missing = [name for name in SHA256 if name not in best]
    if missing:
        names = ", ".join(f"{name}.bin" for name in missing)
        raise DataError(
            f"{where}: missing, plain or as .gz or .xz: {names}; nor is there the Python version "
            f"({missing[0]}) or an archive. {SOURCE}."
        )
    return [best[name] for name in SHA256]


def folder(root: str | None) -> Path:
    """The folder with the files: `root`, or where that is None $HLB_DATA; itself or what is usual in it."""
    help = f"data_batch_1.bin and the other files of CIFAR-10. {SOURCE}."
    return files.folder(root, _INNER, lambda path: any(_versions(path)), "CIFAR-10", help)


def records(batch: Batch) -> NDArray[np.uint8]:
    """The published records of a batch, uint8 [10000, 3073]. DataError says what is wrong with its file."""
    where = f"{batch.path}, {batch.member}" if batch.member else str(batch.path)
    try:
        content = _member(batch) if batch.member else files.content(batch.path)
        content = _from_pickle(content) if batch.pickled else content
        if len(content) != SIZE:
            what = "truncated" if len(content) < SIZE else "too long"
            raise files.DamagedError(f"is {what}: {len(content):,} bytes instead of {SIZE:,}")
        found = hashlib.sha256(content).hexdigest()
        if found != SHA256[batch.name]:
            raise files.DamagedError(
                f"is not the published one: its records have the sha256 {found} instead of "
                f"{SHA256[batch.name]}"
            )
    except files.DamagedError as error:
        raise DataError(f"{where}: it {error}. {SOURCE}.") from error
    return np.frombuffer(content, np.uint8).reshape(EXAMPLES, 1 + PIXELS)


def _versions(where: Path) -> list[dict[str, Batch]]:
    """The batches that are in a folder, in each form they may have."""

    def loose(suffix: str, pickled: bool) -> dict[str, Batch]:
        paths = {name: files.find(where, f"{name}{suffix}") for name in SHA256}
        return {name: Batch(name, path, pickled) for name, path in paths.items() if path}

    found = [loose(".bin", False), loose("", True)]
    for archive, suffix in _ARCHIVES.items():
        path, inner = where / archive, _FOLDERS[0 if suffix else 1]
        if path.is_file():
            members = {name: f"{inner}/{name}{suffix}" for name in SHA256}
            found.append({name: Batch(name, path, not suffix, member) for name, member in members.items()})
    return found


def _member(batch: Batch) -> bytes:
    """A file in an archive; nothing is written to the disk."""
    try:
        with tarfile.open(batch.path) as archive:
            file = archive.extractfile(batch.member or "")
            if file is None:
                raise files.DamagedError("is no file in this archive")
            return file.read(4 * SIZE)
    except KeyError as error:
        raise files.DamagedError("is not in this archive") from error
    except EOFError as error:
        raise files.TruncatedError("is truncated: the archive ends too early") from error
    except (OSError, tarfile.TarError, ValueError) as error:
        raise files.DamagedError(f"cannot be read ({error})") from error


def _from_pickle(content: bytes) -> bytes:
    """The records of a batch of the Python version."""
    found = unpickle.mapping(content)
    data, labels = found.get(b"data"), found.get(b"labels")
    if not isinstance(data, unpickle.StoredArray) or not isinstance(labels, list):
        raise files.DamagedError("has no `data` and `labels`")
    wrong = [label for label in labels if type(label) is not int or not 0 <= label < 10]
    if len(labels) != EXAMPLES or wrong:
        what = f"{wrong[0]!r} among them" if wrong else f"{EXAMPLES:,} are needed"
        raise files.DamagedError(f"has {len(labels):,} labels, {what}")
    pixels = np.frombuffer(data.values((EXAMPLES, PIXELS)), np.uint8).reshape(EXAMPLES, PIXELS)
    return np.concatenate([np.array(labels, np.uint8)[:, np.newaxis], pixels], axis=1).tobytes()


def _arrays(parts: list[NDArray[np.uint8]]) -> Arrays:
    whole = np.concatenate(parts)
    y = whole[:, 0].astype(np.int64)
    # Stored as three planes of 32 rows of 32 pixels.
    x = np.ascontiguousarray(whole[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    x.flags.writeable = y.flags.writeable = False
    return Arrays(x, y)
