"""Any set in four IDX files, named as those of MNIST or otherwise: Fashion-MNIST, EMNIST, one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from horovod_lb.data import files, idx
from horovod_lb.data.dataset import Arrays, DataInfo
from horovod_lb.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")
# Option of the study and usual name.
FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
SIZES = ("examples", "test_examples", "classes", "shape")
"""What a study may state, so that it can be planned where the files are not."""


def describe(data: Mapping[str, Any]) -> DataInfo:
    """The sizes before any holdout: as stated, or else from the headers of the files and from the labels.

    Without `classes` they are counted from 0 to the largest label. DataError: a file is missing or is no IDX
    file; the files do not fit together.
    """
    if all(data.get(key) for key in SIZES):
        examples, tests, classes = (int(data[key]) for key in SIZES[:3])
        shape = tuple(data["shape"])
    else:
        paths = locate(data)
        heads = {key: _header(path, path.stat().st_mtime_ns) for key, path in paths.items()}
        _check(heads, paths)
        shape = _shape(heads["train_images"].shape)
        examples, tests = heads["train_images"].shape[0], heads["test_images"].shape[0]
        classes = data.get("classes") or _classes(paths["train_labels"], paths["test_labels"])
        _compare(data, {"examples": examples, "test_examples": tests, "shape": shape}, paths["train_images"])
    mean, std = _channels(data, shape)
    return DataInfo("idx", examples, tests, 0, int(classes), shape, data.get("scale") or 1 / 255, mean, std)


def locate(data: Mapping[str, Any]) -> dict[str, Path]:
    """The four files, plain or compressed. DataError names those that are missing, and what would do."""
    names = {key: data.get(key) or name for key, name in FILES.items()}
    title = data.get("set") or "idx"

    def holds(path: Path) -> bool:
        return any(files.find(path, name) for name in names.values())

    where = files.folder(data.get("root"), [title], holds, title, f"{', '.join(names.values())}.")
    paths = {key: files.find(where, name) for key, name in names.items()}
    missing = [f"{names[key]} (data.{key})" for key, path in paths.items() if path is None]
    if missing:
        raise DataError(
            f"{where}: missing, plain or as .gz or .xz: {', '.join(missing)}. To plan where the files are "
            f"not, state {', '.join(SIZES)} in the study's `data:` section."
        )
    return {key: path for key, path in paths.items() if path is not None}


def read(data: Mapping[str, Any]) -> tuple[Arrays, Arrays]:
    """The training and the test set, images as stored and with an axis of channels. DataError: a file is
    damaged, or holds something else than `describe` says.
    """
    paths, info = locate(data), describe(data)
    train = _part(paths["train_images"], paths["train_labels"], info.train_examples, info)
    test = _part(paths["test_images"], paths["test_labels"], info.val_examples, info)
    if train.x.dtype != "uint8" and data.get("scale") is None:
        raise DataError(
            "data.scale: these images are no bytes; say by what they are multiplied to make the network's "
            "input"
        )
    return train, test


def _part(images: Path, labels: Path, examples: int, info: DataInfo) -> Arrays:
    import numpy as np

    x, y = _values(images), _values(labels)
    if _shape(x.shape) != info.shape or len(x) != examples:
        raise DataError(
            f"{images}: it holds {idx.dimensions(x.shape)} values; the study says {examples:,} examples of "
            f"{idx.dimensions(info.shape)}"
        )
    if y.shape != (len(x),):
        raise DataError(f"{labels}: it holds {idx.dimensions(y.shape)} labels for {len(x):,} examples")
    if y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= info.classes:
        raise DataError(
            f"{labels}: labels from {y.min()} to {y.max()}; they must be whole numbers from 0 to "
            f"{info.classes - 1}, as there are {info.classes} classes (data.classes)"
        )
    if x.dtype not in (np.uint8, np.float32):
        raise DataError(f"{images}: it holds {x.dtype} values; uint8 and float32 are read")
    x, y = x.reshape(len(x), *info.shape), y.astype(np.int64)
    x.flags.writeable = y.flags.writeable = False
    return Arrays(x, y)


def _shape(stored: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of one example: a grey image gets an axis of channels."""
    return (*stored[1:], 1) if len(stored) == 3 else stored[1:]


def _check(heads: Mapping[str, idx.Header], paths: Mapping[str, Path]) -> None:
    for part in ("train", "test"):
        images, labels = heads[f"{part}_images"].shape, heads[f"{part}_labels"].shape
        if len(images) < 2 or 0 in images:
            raise DataError(f"{paths[f'{part}_images']}: it holds {idx.dimensions(images)} values, no images")
        if labels != images[:1]:
            path = paths[f"{part}_labels"]
            raise DataError(f"{path}: it holds {idx.dimensions(labels)} labels for {images[0]:,} examples")
    if heads["train_images"].shape[1:] != heads["test_images"].shape[1:]:
        raise DataError(
            f"{paths['test_images']}: its images are {idx.dimensions(heads['test_images'].shape[1:])}, those "
            f"of the training set {idx.dimensions(heads['train_images'].shape[1:])}"
        )


def _compare(data: Mapping[str, Any], found: Mapping[str, Any], path: Path) -> None:
    for key, value in found.items():
        stated = tuple(data[key]) if key == "shape" and data.get(key) else data.get(key)
        if stated and stated != value:
            raise DataError(f"data.{key}: the study says {stated}, {path.parent} has {value}")


def _channels(data: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The stated mean and std of each channel."""
    mean, std = (tuple(map(float, data.get(key) or ())) for key in ("mean", "std"))
    if len(mean) != len(std) or len(mean) not in (0, shape[-1]):
        raise DataError(
            f"data.mean: mean and std need a value for each of the {shape[-1]} channels, or none at all; "
            f"there are {len(mean)} and {len(std)}"
        )
    return mean, std


def _classes(*labels: Path) -> int:
    return 1 + max(_largest(path, path.stat().st_mtime_ns) for path in labels)


@lru_cache(maxsize=16)
def _largest(path: Path, _: int) -> int:
    """The largest label in a file; where labels are single bytes, without NumPy."""
    content = _read(path, files.content)
    head = _read(path, lambda _: idx.header(content))
    if head.dtype == idx.TYPES[idx.UNSIGNED_BYTE]:
        return max(content[head.offset :], default=0)
    return int(_values(path).max())


@lru_cache(maxsize=16)
def _header(path: Path, _: int) -> idx.Header:
    """Again only when the file changes: a study asks once a run."""
    return _read(path, lambda path: idx.header(files.beginning(path, idx.MAX_HEADER)))


def _values(path: Path) -> NDArray[Any]:
    return _read(path, idx.values)


def _read(path: Path, reader: Callable[[Path], T]) -> T:
    try:
        return reader(path)
    except files.DamagedError as error:
        raise DataError(f"{path}: it {error}.") from error
