"""Where each record of a set of shards begins: made once from the records' lengths, kept beside the shards.

The file `.hlb-index-<part>.npz` holds it, with every shard's size and time of change: a shard that has
changed since is looked through again. Where the shards' folder is read-only it is kept in the user's cache
folder; where that is too, in memory.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from horovod_lb.data.imagenet import records, writing

READERS = 16  # a length costs a round trip to the file system each, no time of the processor
_QUIET_SECONDS = 2.0


@dataclass(frozen=True)
class Index:
    """The records of `paths`, numbered through.

    `first` int64 [shards + 1]: the number of each shard's first record; `offsets` int64 [records]: where it
    begins in its shard, in bytes; `sizes` int64 [shards]: the shards' sizes.
    """

    paths: tuple[Path, ...]
    first: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets)

    def locate(self, record: int) -> tuple[int, int, int]:
        """The shard of a record, where it begins there, and its length without its frame."""
        shard = int(self.first.searchsorted(record, side="right")) - 1
        last = record + 1 == self.first[shard + 1]
        offset = int(self.offsets[record])
        end = self.sizes[shard] if last else self.offsets[record + 1]
        return shard, offset, int(end) - offset - records.FRAME


def load(paths: Sequence[Path], part: str) -> Index:
    """The index of the shards `paths`, from where it is kept while that holds. DataError: `records.scan`."""
    stamps = [_stamp(path) for path in paths]
    names = [path.name for path in paths]
    places = _places(paths[0].parent, part)
    known: dict[tuple[str, int, int], NDArray[np.int64]] = {}
    for place in places:
        known = _read(place)
        if known:
            break
    new = [
        number for number, key in enumerate(zip(names, stamps, strict=True)) if (key[0], *key[1]) not in known
    ]
    scanned = dict(zip(new, _scan([paths[number] for number in new], part), strict=True))
    offsets = [
        scanned[number] if number in scanned else known[(names[number], *stamps[number])]
        for number in range(len(paths))
    ]
    counts = np.array([len(part_offsets) for part_offsets in offsets], np.int64)
    index = Index(
        tuple(paths),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.concatenate(offsets).astype(np.int64),
        np.array([size for size, _ in stamps], np.int64),
    )
    if new:
        _keep(places, names, stamps, counts, index.offsets)
    return index


def _scan(paths: Sequence[Path], part: str) -> list[NDArray[np.int64]]:
    began, said = time.monotonic(), False
    found = []
    with ThreadPoolExecutor(READERS, thread_name_prefix="index") as pool:
        for number, offsets in enumerate(pool.map(records.scan, paths), 1):
            found.append(np.array(offsets, np.int64))
            if not said and time.monotonic() - began > _QUIET_SECONDS:
                said = True
                print(
                    f"looking for the records of {len(paths):,} {part} shards, this once ({number:,} done)",
                    file=sys.stderr,
                )
    return found


def _read(place: Path) -> dict[tuple[str, int, int], NDArray[np.int64]]:
    """The offsets of each (shard, size, time of change) in the file `place`; {} where it is not whole."""
    try:
        with np.load(io.BytesIO(place.read_bytes()), allow_pickle=False) as stored:
            cuts = np.cumsum(stored["counts"])[:-1]
            parts = np.split(stored["offsets"], cuts)
            keys = zip(
                stored["names"].tolist(), stored["sizes"].tolist(), stored["changed"].tolist(), strict=True
            )
            return dict(zip(keys, parts, strict=True))
    except Exception:  # whatever is wrong with a file that only saves time: it is made anew
        return {}


def _keep(
    places: Sequence[Path],
    names: Sequence[str],
    stamps: Sequence[tuple[int, int]],
    counts: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> None:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        names=np.array(names),
        sizes=np.array([size for size, _ in stamps], np.int64),
        changed=np.array([changed for _, changed in stamps], np.int64),
        counts=counts,
        offsets=offsets,
    )
    for place in places:
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            writing.write(place, buffer.getvalue())
            return


def _places(folder: Path, part: str) -> list[Path]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    return [folder / f".hlb-index-{part}.npz", cache / "horovod_lb" / "index" / f"{key}-{part}.npz"]


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
