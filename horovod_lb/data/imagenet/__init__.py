"""ImageNet (ILSVRC 2012): 1,281,167 training and 50,000 validation photographs of 1,000 classes, and subsets.

Read from TFRecord shards or class folders (`layout`), any example on its own (`index`, `source`), decoded and
cropped by TensorFlow (`photographs`). With a holdout of h the last h training examples are the validation set
and the published validation set is the test set. Deng et al., "ImageNet: a large-scale hierarchical image
database", 2009.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from horovod_lb.data.dataset import DataInfo, DataSet
from horovod_lb.data.imagenet import layout, manifest
from horovod_lb.errors import DataError

TRAIN_EXAMPLES, VAL_EXAMPLES, CLASSES = 1_281_167, 50_000, 1_000
IMAGE_SIZE = 224
# Of each channel over the training photographs, in 0..1: the values that are usual since PyTorch's examples.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def describe(data: Mapping[str, Any]) -> DataInfo:
    """The set before any holdout, its validation set as `val`. Reads no pixels.

    Keys: `classes` (default 1,000), `examples` and `val_examples`, `image_size`. Sizes that are not stated
    are those in the manifest of the root; else for 1,000 classes the published ones; else those of the class
    folders there.
    DataError: sizes that are to be had nowhere; a root with another number of classes.
    """
    classes = data.get("classes") or CLASSES
    train, val = data.get("examples"), data.get("val_examples")
    if train is None or val is None:
        known = _sizes(data, classes)
        train, val = (known[0] if train is None else train), (known[1] if val is None else val)
    size = data.get("image_size") or IMAGE_SIZE
    return DataInfo("imagenet", train, val, 0, classes, (size, size, 3), 1 / 255, MEAN, STD)


def require(data: Mapping[str, Any]) -> None:
    """DataError: a shard is missing, or there are neither shards nor class folders. Reads names alone."""
    root = layout.root_folder(data.get("root"))
    for part in layout.PARTS:
        if not layout.shards(root, part):
            layout.listing(root, part)


def make_index(data: Mapping[str, Any]) -> None:
    """Makes the index of the shards where there is none yet: for one rank, so that the others find it.

    DataError: as `load`.
    """
    from horovod_lb.data.imagenet import index

    root = layout.root_folder(data.get("root"))
    for part in layout.PARTS:
        if paths := layout.shards(root, part):
            index.load(paths, part)


def load(data: Mapping[str, Any], info: DataInfo, seed: int) -> DataSet:
    """The set as `info` describes it, any holdout applied; augmented by `seed` unless `augment` is `none`.

    DataError: what `require` finds; a shard that is cut off; another number of examples than `info` has.
    """
    from horovod_lb.data.imagenet.photographs import Photographs
    from horovod_lb.data.imagenet.source import open_part

    root = layout.root_folder(data.get("root"))
    first_label = data.get("first_label")
    held_out = info.val_examples if info.test_examples else 0
    expected = (info.train_examples + held_out, info.test_examples or info.val_examples)
    parts = []
    for part, count in zip(layout.PARTS, expected, strict=True):
        source = open_part(root, part, info.classes, 1 if first_label is None else first_label)
        if len(source) != count:
            raise DataError(
                f"{root}: {len(source):,} {part} examples, not {count:,}: the set is not whole "
                "(`hlb data check imagenet`), or the study is to state `examples` and `val_examples`"
            )
        parts.append(Photographs(source, 0, count, info.shape[0], augment=False))
    train, published = parts
    kept = replace(train, end=info.train_examples, augment=data.get("augment") != "none", seed=seed)
    if not held_out:
        return DataSet(info, kept, published, None)
    return DataSet(info, kept, replace(train, begin=info.train_examples), published)


def _sizes(data: Mapping[str, Any], classes: int) -> tuple[int, int]:
    """Training and validation examples, from where they are known with the least reading."""
    state = "write `examples` and `val_examples` into the study's `data:` section"
    try:
        root = layout.root_folder(data.get("root"))
    except DataError:
        if classes == CLASSES:
            return TRAIN_EXAMPLES, VAL_EXAMPLES
        raise DataError(
            f"data: a set of {classes:,} classes has no published size; {state}, or its root"
        ) from None
    record = manifest.read(root)
    names = record.classes if record else layout.classes(root)
    if names and len(names) != classes:
        raise DataError(f"{root}: it has {len(names):,} classes; write `classes: {len(names)}` into `data:`")
    if record and record.complete:
        return record.examples("train"), record.examples("validation")
    if classes == CLASSES:
        return TRAIN_EXAMPLES, VAL_EXAMPLES
    if record or not names:
        raise DataError(f"{root}: it does not say how many examples it has; {state}")
    return len(layout.listing(root, "train").paths), len(layout.listing(root, "validation").paths)
