"""The data sets by name, as a study's `data:` section asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from horovod_lb.data.dataset import DataInfo, DataSet, split
from horovod_lb.errors import DataError

if TYPE_CHECKING:
    from horovod_lb.data.dataset import Arrays


@dataclass(frozen=True)
class Published:
    """A set whose sizes are known without reading it: train and test as published, before any holdout.

    `mean` and `std` of each channel are those of its training images, in units of x · scale.
    """

    train_examples: int
    test_examples: int
    classes: int
    shape: tuple[int, ...]
    scale: float
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


PUBLISHED = {
    "digits": Published(1_440, 357, 10, (8, 8, 1), 1 / 16),
    "mnist": Published(60_000, 10_000, 10, (28, 28, 1), 1 / 255),
    "cifar10": Published(
        50_000,
        10_000,
        10,
        (32, 32, 3),
        1 / 255,
        (0.49139968, 0.48215841, 0.44653091),
        (0.24703223, 0.24348513, 0.26158784),
    ),
}
NAMES = (*PUBLISHED, "imagenet", "idx", "synthetic", "custom")
AUGMENTED = ("cifar10", "imagenet")
CUSTOM_KEYS = ("examples", "val_examples", "test_examples", "classes", "shape", "scale")


def describe(data: Mapping[str, Any]) -> DataInfo:
    """What the `data:` section of a study stands for, without reading the set.

    Keys: `name`; `holdout` h >= 0, so many of the last training examples become the validation set (0: the
    test set is evaluated every epoch and there is no separate test set); `augment`. For `custom`, which its
    job script loads: `examples`, and optionally `val_examples`, `test_examples`, `classes`, `shape`, `scale`.
    For `idx`, `imagenet` and `synthetic` see `idx_sets`, `imagenet` and `synthetic`.
    DataError: an unknown name, a holdout that leaves nothing to train on, a custom set without `examples`,
    a published one with keys of a custom one, an augmentation that the set does not have.
    """
    name = data.get("name")
    if name not in NAMES:
        near = get_close_matches(str(name), NAMES, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise DataError(f"data.name: {name!r} is not a data set{hint}; there are {', '.join(NAMES)}")
    augments = ("none", "standard") if name in AUGMENTED else ("none",)
    if (data.get("augment") or "none") not in augments:
        allowed = " and ".join(augments)
        raise DataError(f"data.augment: {name} has {allowed}, not {data['augment']!r}")
    if name in ("custom", "synthetic"):
        return _stated(data)
    if name == "idx":
        from horovod_lb.data import idx_sets

        return _held_out(idx_sets.describe(data), data)
    if name == "imagenet":
        from horovod_lb.data import imagenet

        return _held_out(imagenet.describe(data), data)
    for key in CUSTOM_KEYS:
        if data.get(key) is not None:
            raise DataError(f"data.{key}: only a custom set states it; that of {name} is known")
    one = PUBLISHED[name]
    whole = DataInfo(
        name, one.train_examples, one.test_examples, 0, one.classes, one.shape, one.scale, one.mean, one.std
    )
    return _held_out(whole, data)


def require(data: Mapping[str, Any]) -> None:
    """DataError where a file of the set is missing; reads none. For asking before anything is started."""
    name = describe(data).name
    if name == "mnist":
        from horovod_lb.data import mnist

        mnist.locate(data.get("root"))
    elif name == "cifar10":
        from horovod_lb.data import cifar10

        cifar10.locate(data.get("root"))
    elif name == "idx":
        from horovod_lb.data import idx_sets

        idx_sets.locate(data)
    elif name == "imagenet":
        from horovod_lb.data import imagenet

        imagenet.require(data)


def prepare_reading(data: Mapping[str, Any]) -> None:
    """What one rank does before all load the set, so that not every one looks through all of its files.

    DataError as `load`.
    """
    if describe(data).name == "imagenet":
        from horovod_lb.data import imagenet

        imagenet.make_index(data)


def load(data: Mapping[str, Any], *, seed: int = 0) -> DataSet:
    """The set that `data` asks for. `root` (else $HLB_DATA) names the folder of its files.

    `seed` is that of the augmentation, which is a function of (seed, epoch, example).
    DataError as `describe`, and for a missing, truncated or wrong file: its path, what is wrong with it, and
    where to get it.
    """
    info = describe(data)
    if info.name == "custom":
        raise DataError(
            "data.name: custom is loaded by the job script itself; run.load_data() has nothing to load"
        )
    if info.name == "synthetic":
        from horovod_lb.data import synthetic

        return synthetic.load(data)
    if info.name == "imagenet":
        from horovod_lb.data import imagenet

        return imagenet.load(data, info, seed)
    parts = split(info, *_read(info.name, data))
    if data.get("augment") == "standard":
        from horovod_lb.data.augment import Augmented

        parts = replace(parts, train=Augmented(parts.train))  # type: ignore[arg-type]
    return parts.seeded(seed)


def _read(name: str, data: Mapping[str, Any]) -> tuple[Arrays, Arrays]:
    """The training and the test set as published."""
    if name == "mnist":
        from horovod_lb.data import mnist

        return mnist.read(data.get("root"))
    if name == "cifar10":
        from horovod_lb.data import cifar10

        return cifar10.read(data.get("root"))
    if name == "idx":
        from horovod_lb.data import idx_sets

        return idx_sets.read(data)
    from horovod_lb.data import digits

    return digits.read()


def _held_out(whole: DataInfo, data: Mapping[str, Any]) -> DataInfo:
    """`whole`, whose validation set is the test set, with the holdout that `data` asks for."""
    holdout = _count(data, "holdout", 0)
    if not holdout:
        return whole
    if holdout >= whole.train_examples:
        raise DataError(
            f"data.holdout: {holdout:,} leaves nothing to train on; {whole.name} has "
            f"{whole.train_examples:,} training examples"
        )
    return replace(
        whole,
        train_examples=whole.train_examples - holdout,
        val_examples=holdout,
        test_examples=whole.val_examples,
    )


def _stated(data: Mapping[str, Any]) -> DataInfo:
    """The description of a set whose sizes are the study's to say."""
    name = data["name"]
    if not _count(data, "examples", 0):
        raise DataError(f"data.examples: a {name} set must say how many training examples it has")
    if _count(data, "holdout", 0):
        by = "its job script" if name == "custom" else "`val_examples` and `test_examples`"
        raise DataError(
            f"data.holdout: a {name} set is split by {by}; give `examples` after the split and `val_examples`"
        )
    if name == "synthetic":
        from horovod_lb.data import synthetic

        return synthetic.describe(data)
    return DataInfo(
        name="custom",
        train_examples=_count(data, "examples", 0),
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
