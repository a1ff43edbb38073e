"""One's own data as a data set: arrays, or a finite `tf.data` set that is read into memory once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horovod_lb.data.augment import Augmented
from horovod_lb.data.dataset import Arrays, DataInfo, DataSet, Examples
from horovod_lb.errors import DataError

LIMIT_BYTES = 4 * 2**30
_INFINITE = -1  # tf.data.INFINITE_CARDINALITY; TensorFlow is not imported here

Pair = tuple[ArrayLike, ArrayLike]


def from_arrays(
    train: Pair | Examples,
    val: Pair | Examples,
    test: Pair | Examples | None = None,
    *,
    classes: int | None = None,
    scale: float = 1.0,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    augment: str = "none",
) -> DataSet:
    """A data set of one's own, for `run.fit(model, optimizer, data)`.

    Args:
        train, val, test: (x, y) each, x [n, ...] uint8 or float and y [n] whole numbers; or any object with
            `__len__` and `take`, see `Examples`.
        classes: default: one more than the largest label of the arrays.
        scale, mean, std: what makes the network's input of x; see `Normalization`.
        augment: `none`, or for arrays of images [n, H, W, C] `standard`; see `Augmented`.

    DataError: lengths that differ, nothing in it, values or labels of another kind, parts of unequal shapes.
    """
    parts = {"train": train, "val": val, **({} if test is None else {"test": test})}
    made = {name: _part(name, part) for name, part in parts.items()}
    arrays = {name: part for name, part in made.items() if isinstance(part, Arrays)}
    shape = _shape(arrays)
    largest = max((int(part.y.max()) for part in arrays.values()), default=-1)
    if classes is None and len(arrays) < len(made):
        raise DataError(
            "classes: it must be given, as not all parts are arrays in which labels can be looked up"
        )
    classes = largest + 1 if classes is None else classes
    if largest >= classes:
        raise DataError(f"classes: the largest label is {largest}, so there must be at least {largest + 1}")
    if len(mean) != len(std) or (mean and shape and len(mean) != shape[-1]) or min(std, default=1) <= 0:
        raise DataError("mean, std: a value for each channel is needed in both, and std > 0")
    made["train"] = _augmented(made["train"], augment)
    info = DataInfo(
        name="custom",
        train_examples=len(made["train"]),
        val_examples=len(made["val"]),
        test_examples=len(made["test"]) if "test" in made else 0,
        classes=classes,
        shape=shape,
        scale=scale,
        mean=tuple(map(float, mean)),
        std=tuple(map(float, std)),
    )
    return DataSet(info, made["train"], made["val"], made.get("test"))


def from_tf_data(dataset: Any, *, limit_bytes: int = LIMIT_BYTES) -> Arrays:
    """The examples of a finite `tf.data.Dataset` of pairs (x, y), read into memory once.

    A run sees its examples in an order of its own, anew in every epoch and the same on all ranks, so that it
    must be able to ask for any of them; `shuffle`, `repeat`, `shard` and random augmentation do not belong
    into the set. Its elements are single examples, y without dimensions, or batches.

    DataError: it is infinite, is empty, needs more than `limit_bytes`, or has elements of another form.
    """
    if int(dataset.cardinality()) == _INFINITE:
        raise DataError(
            "from_tf_data: this set is infinite; leave `repeat()` out, or end it with `take(n)`. Epochs are "
            "the recipe's."
        )
    xs, ys, size = [], [], 0
    for element in dataset.as_numpy_iterator():
        if not isinstance(element, tuple) or len(element) != 2 or any(isinstance(e, dict) for e in element):
            raise DataError("from_tf_data: the elements must be pairs (x, y); `map` them to that form")
        x, y = np.asarray(element[0]), np.asarray(element[1])
        if y.ndim == 0:
            x, y = x[np.newaxis], y[np.newaxis]
        if y.ndim != 1 or len(x) != len(y):
            raise DataError(
                f"from_tf_data: labels of shape {y.shape} for x of shape {x.shape}; whole numbers are "
                "needed, one for each example, and not one-hot vectors"
            )
        size += x.nbytes + 8 * len(y)
        if size > limit_bytes:
            raise DataError(
                f"from_tf_data: it needs more than {limit_bytes / 2**30:.3g} GiB (limit_bytes), on each "
                "rank. Raise the limit, store images as uint8, or give an object with `__len__` and `take` "
                "that reads the examples it is asked for."
            )
        xs.append(x)
        ys.append(y)
    if not size:
        raise DataError("from_tf_data: the set is empty")
    if len({x.shape[1:] for x in xs}) > 1:
        shapes = sorted({str(x.shape[1:]) for x in xs})
        raise DataError(f"from_tf_data: examples of different shapes, such as {' and '.join(shapes[:2])}")
    return _arrays("from_tf_data", np.concatenate(xs), np.concatenate(ys))


def _part(name: str, part: Any) -> Examples:
    if isinstance(part, tuple | list):
        if len(part) != 2:
            raise DataError(f"{name}: a pair (x, y) is needed, not {len(part)} things")
        return _arrays(name, *part)
    # An array has `take` and a length as well, but no labels.
    if (
        not isinstance(part, np.ndarray)
        and callable(getattr(part, "take", None))
        and hasattr(part, "__len__")
    ):
        found: Examples = part
        return found
    raise DataError(f"{name}: a pair of arrays (x, y), or an object with `__len__` and `take`, is needed")


def _arrays(name: str, x: ArrayLike, y: ArrayLike) -> Arrays:
    images, labels = np.asarray(x), np.asarray(y)
    if images.ndim < 2 or labels.shape != images.shape[:1] or not len(images):
        raise DataError(
            f"{name}: x of shape {images.shape} and y of shape {labels.shape}; [n, ...] and [n] are needed, "
            "n > 0"
        )
    if labels.dtype.kind not in "iu" or labels.min() < 0:
        raise DataError(
            f"{name}: the labels must be whole numbers from 0 on, not {labels.dtype} from {labels.min()}"
        )
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise DataError(f"{name}: x is {images.dtype}; uint8 or float is needed (x.astype('float32'))")
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        raise DataError(f"{name}: x has values that are not finite")
    kind = np.uint8 if images.dtype == np.uint8 else np.float32
    return Arrays(_read_only(images, kind), _read_only(labels, np.int64))


def _read_only(array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """A view, or a copy where the type is another; the caller's own array stays as it is."""
    view = array.astype(dtype, copy=False).view()
    view.flags.writeable = False
    return view


def _shape(arrays: dict[str, Arrays]) -> tuple[int, ...]:
    shapes = {part.x.shape[1:] for part in arrays.values()}
    if len(shapes) > 1:
        found = ", ".join(f"{name} {part.x.shape[1:]}" for name, part in arrays.items())
        raise DataError(f"the examples of the parts have different shapes: {found}")
    return shapes.pop() if shapes else ()


def _augmented(train: Examples, augment: str) -> Examples:
    if augment == "none":
        return train
    if augment != "standard":
        raise DataError(f"augment: {augment!r} is not one of none, standard")
    if not isinstance(train, Arrays) or train.x.ndim != 4:
        raise DataError("augment: standard is for arrays of images, x [n, H, W, C]")
    return Augmented(train)
