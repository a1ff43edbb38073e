"""The data sets by name, as a study's `data:` section asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from horovod_lb.data.dataset import Arrays, DataInfo, DataSet
from horovod_lb.errors import DataError


@dataclass(frozen=True)
class Published:
    """A set whose sizes are known without reading it: train and test as published, before any holdout."""

    train_examples: int
    test_examples: int
    classes: int
    shape: tuple[int, ...]
    scale: float


PUBLISHED = {
    "digits": Published(1_440, 357, 10, (8, 8, 1), 1 / 16),
    "mnist": Published(60_000, 10_000, 10, (28, 28, 1), 1 / 255),
}
NAMES = (*PUBLISHED, "custom")
CUSTOM_KEYS = ("examples", "val_examples", "test_examples", "classes", "shape", "scale")


def describe(data: Mapping[str, Any]) -> DataInfo:
    """What the `data:` section of a study stands for, without reading the set.

    Keys: `name`; `holdout` h >= 0, so many of the last training examples become the validation set (0: the
    test set is evaluated every epoch and there is no separate test set). For `custom`, which its job script
    loads: `examples`, and optionally `val_examples`, `test_examples`, `classes`, `shape`, `scale`.
    DataError: an unknown name, a holdout that leaves nothing to train on, a custom set without `examples`,
    another with keys of a custom one.
    """
    name = data.get("name")
    if name == "custom":
        return _describe_custom(data)
    if name not in PUBLISHED:
        near = get_close_matches(str(name), NAMES, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise DataError(f"data.name: {name!r} is not a data set{hint}; there are {', '.join(NAMES)}")
    for key in CUSTOM_KEYS:
        if data.get(key) is not None:
            raise DataError(f"data.{key}: only a custom set states it; that of {name} is known")
    published = PUBLISHED[name]
    holdout = _count(data, "holdout", 0)
    if holdout >= published.train_examples:
        raise DataError(
            f"data.holdout: {holdout:,} leaves nothing to train on; {name} has {published.train_examples:,} "
            "training examples"
        )
    return DataInfo(
        name=name,
        train_examples=published.train_examples - holdout,
        val_examples=holdout or published.test_examples,
        test_examples=published.test_examples if holdout else 0,
        classes=published.classes,
        shape=published.shape,
        scale=published.scale,
    )


def require(data: Mapping[str, Any]) -> None:
    """DataError where a file of the set is missing; reads none. For asking before anything is started."""
    if describe(data).name == "mnist":
        from horovod_lb.data import mnist

        mnist.locate(data.get("root"))


def load(data: Mapping[str, Any]) -> DataSet:
    """The set that `data` asks for, in memory. `root` (else $HLB_DATA) names the folder of its files.

    DataError as `describe`, and for a missing, truncated or wrong file: its path, what is wrong with it, and
    where to get it.
    """
    info = describe(data)
    if info.name == "mnist":
        from horovod_lb.data import mnist

        train, test = mnist.read(data.get("root"))
    elif info.name == "digits":
        from horovod_lb.data import digits

        train, test = digits.read()
    else:
        raise DataError(
            "data.name: custom is loaded by the job script itself; run.load_data() has nothing to load"
        )
    if not info.test_examples:
        return DataSet(info, train, test, None)
    kept, held_out = slice(info.train_examples), slice(info.train_examples, None)
    return DataSet(
        info,
        Arrays(train.x[kept], train.y[kept]),
        Arrays(train.x[held_out], train.y[held_out]),
        test,
    )


def _describe_custom(data: Mapping[str, Any]) -> DataInfo:
    examples = _count(data, "examples", 0)
    if not examples:
        raise DataError("data.examples: a custom set must say how many training examples it has")
    if _count(data, "holdout", 0):
        raise DataError(
            "data.holdout: a custom set is split by its job script; give `examples` after the split and "
            "`val_examples`"
        )
    return DataInfo(
        name="custom",
        train_examples=examples,
        val_examples=_count(data, "val_examples", 0),
        test_examples=_count(data, "test_examples", 0),
        classes=_count(data, "classes", 0),
        shape=tuple(data.get("shape") or ()),
        scale=float(data.get("scale") or 1.0),
    )


def _count(data: Mapping[str, Any], key: str, default: int) -> int:
    value = data.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise DataError(f"data.{key}: {value!r} is not a whole number of examples, 0 or more")
    return value
