"""Photographs as they are stored, each to be had by its number: from shards or from class folders."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Protocol

import numpy as np

from horovod_lb.data.imagenet import example, index, jpeg, layout, records
from horovod_lb.data.imagenet.index import Index
from horovod_lb.data.imagenet.layout import Listing
from horovod_lb.data.order import permutation
from horovod_lb.errors import DataError

ENCODED, LABEL = b"image/encoded", b"image/class/label"


class Source(Protocol):
    """The photographs of one part."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def read(self, number: int) -> tuple[bytes, int]:
        """A photograph as a grey or RGB JPEG file, and its class from 0. DataError: what is wrong where."""
        ...

    def where(self, number: int) -> str:
        """Where a photograph is, for messages."""
        ...


class Shards:
    """Photographs in TFRecord shards.

    Args:
        found: the shards' index.
        classes: labels are `first_label` to `first_label` + classes - 1.
        first_label: 1 as the standard converters write them, whose 0 is for a background class; or 0.
    """

    def __init__(self, found: Index, classes: int, first_label: int = 1) -> None:
        self._index, self._classes, self._first_label = found, classes, first_label
        self._descriptors: dict[int, int] = {}
        # Half of the files that the process may have open stay open; those beyond are opened for each read.
        self._limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2

    def __len__(self) -> int:
        return len(self._index)

    def read(self, number: int) -> tuple[bytes, int]:
        """See `Source`."""
        try:
            record = self.record(number)
            features = example.spans(record)
            label = example.int_value(record, features[LABEL]) - self._first_label
            image = example.bytes_value(record, features[ENCODED])
            data, _ = jpeg.as_jpeg(image)
        except KeyError as error:
            raise DataError(f"{self.where(number)} has no feature {error.args[0].decode()}") from None
        except ValueError as error:
            raise DataError(f"{self.where(number)} {error}. `hlb data check imagenet` lists all") from error
        if not 0 <= label < self._classes:
            raise DataError(f"{self.where(number)} {wrong_label(label, self._classes, self._first_label)}")
        return data, label

    def record(self, number: int) -> bytes:
        """The record as it is. ValueError: its checksum is wrong, or its file has changed."""
        shard, offset, length = self._index.locate(number)
        descriptor = self._descriptors.get(shard)
        if descriptor is not None:
            return records.read(descriptor, offset, length)
        try:
            descriptor = os.open(self._index.paths[shard], os.O_RDONLY)
        except OSError as error:
            raise ValueError(f"cannot be read ({error.strerror})") from error
        try:
            return records.read(descriptor, offset, length)
        finally:
            # Threads may open the same shard at once: one of them keeps it.
            full = len(self._descriptors) >= self._limit
            if full or self._descriptors.setdefault(shard, descriptor) != descriptor:
                os.close(descriptor)

    def where(self, number: int) -> str:
        """See `Source`."""
        shard, _, _ = self._index.locate(number)
        return f"{self._index.paths[shard]}: record {number - int(self._index.first[shard])}"

    def __del__(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])


class Folders:
    """Photographs in class folders, in the order in which `hlb data prepare` puts them into shards."""

    def __init__(self, found: Listing) -> None:
        order = mixed(len(found.paths))
        self._root = found.root
        self._paths = [found.paths[number] for number in order]
        self._labels = np.array(found.labels, np.int64)[order]

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, number: int) -> tuple[bytes, int]:
        """See `Source`."""
        try:
            data, _ = jpeg.as_jpeg(self.path(number).read_bytes())
        except OSError as error:
            raise DataError(f"{self.where(number)} cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise DataError(f"{self.where(number)} {error}. `hlb data check imagenet` lists all") from error
        return data, int(self._labels[number])

    def path(self, number: int) -> Path:
        """The file of a photograph."""
        return self._root / self._paths[number]

    def where(self, number: int) -> str:
        """See `Source`."""
        return f"{self.path(number)}:"


def open_part(root: Path, part: str, classes: int, first_label: int = 1) -> Source:
    """The photographs of `part`, from the shards in `root`, else from its folders. DataError: neither."""
    if paths := layout.shards(root, part):
        return Shards(index.load(paths, part), classes, first_label)
    return Folders(layout.listing(root, part))


def mixed(examples: int) -> list[int]:
    """The order of class folders' pictures, mixed once for all, so that a held-out part has all classes."""
    return [int(number) for number in permutation(examples, seed=examples, epoch=0)]


def wrong_label(label: int, classes: int, first_label: int) -> str:
    """What is said of a label out of range; `label` counts from 0."""
    return (
        f"has the label {label + first_label}, which is not between {first_label} and "
        f"{first_label + classes - 1}; is `data.classes` or `data.first_label` of the study right?"
    )
