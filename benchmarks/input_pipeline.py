"""The ImageNet training pipeline beside a bare loop and a plain `tf.data` pipeline (docs/benchmarks.md).

    python benchmarks/input_pipeline.py --photos DIR [--rounds 7] [--size 500x375]

DIR has class folders train/<class>/*.JPEG and val/<class>/*.JPEG. Shards are made of it in a temporary
folder; with another --size of pictures made larger or smaller first, as ImageNet's are 500 x 375 and more.
All take turns in one run, A B C A B C ...:

- `ours`: random access by a shared order, decode, crop, mirror, uint8 batches of 64;
- `bare`: whole pictures read, decoded and resized to 224 x 224, by `tf.data` on all cores: nothing else;
- `bare crop`: as `bare`, but only a region known beforehand is decoded, as fast as TensorFlow can do what
  ours has to do;
- `plain`: as scripts for ResNet do: shards interleaved, shuffled, parsed, `sample_distorted_bounding_box`,
  decode and crop, resized, mirrored, mean and standard deviation, batches of 64.

Seconds are elapsed time and processor time: on a machine that is busy with other things look at the second.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from horovod_lb import data
from horovod_lb.data import feed
from horovod_lb.data.imagenet import MEAN, STD, crops, jpeg, layout
from horovod_lb.data.imagenet.prepare import prepare
from horovod_lb.data.order import Order
from horovod_lb.data.portion import Portion

BATCH, SIDE = 64, 224


def resized(source: Path, target: Path, size: tuple[int, int]) -> None:
    """The pictures of `source` at another size (width, height), in the same folders."""
    for path in source.glob("*/*/*.JPEG"):
        out = target / path.relative_to(source)
        out.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            image.resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)


def pictures(root: Path) -> list[str]:
    """The training files, in the order of the shards made of them."""
    found = layout.listing(root, "train")
    return [str(root / path) for path in found.paths]


def bare(files: list[str]) -> Iterable[object]:
    """Decode and resize whole pictures."""

    def make(path: object) -> object:
        return tf.image.resize(tf.io.decode_jpeg(tf.io.read_file(path), channels=3), (SIDE, SIDE))

    return _batches(tf.data.Dataset.from_tensor_slices(files).map(make, num_parallel_calls=tf.data.AUTOTUNE))


def bare_crop(files: list[str], boxes: np.ndarray) -> Iterable[object]:
    """Decode and resize regions that are known beforehand."""

    def make(path: object, box: object) -> object:
        image = tf.image.decode_and_crop_jpeg(tf.io.read_file(path), box, channels=3)
        return tf.image.resize(image, (SIDE, SIDE))

    sliced = tf.data.Dataset.from_tensor_slices((files, boxes))
    return _batches(sliced.map(make, num_parallel_calls=tf.data.AUTOTUNE))


def plain(shards: list[str]) -> Iterable[object]:
    """The pipeline of public ResNet scripts."""
    fields = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
    }

    def make(record: object) -> object:
        one = tf.io.parse_single_example(record, fields)
        content = one["image/encoded"]
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            tf.image.extract_jpeg_shape(content),
            tf.zeros([1, 0, 4]),
            min_object_covered=0.1,
            aspect_ratio_range=crops.RATIO,
            area_range=crops.AREA,
            max_attempts=100,
            use_image_if_no_bounding_boxes=True,
        )
        image = tf.image.decode_and_crop_jpeg(content, tf.concat([begin[:2], size[:2]], 0), channels=3)
        image = tf.image.random_flip_left_right(tf.image.resize(image, (SIDE, SIDE)))
        image = (image / 255 - tf.constant(MEAN)) / tf.constant(STD)
        return image, tf.cast(one["image/class/label"], tf.int32) - 1

    records = tf.data.Dataset.from_tensor_slices(shards).interleave(
        tf.data.TFRecordDataset, cycle_length=8, num_parallel_calls=tf.data.AUTOTUNE
    )
    return _batches(records.shuffle(1024).map(make, num_parallel_calls=tf.data.AUTOTUNE))


def ours(examples: data.Examples, seed: int) -> Iterable[object]:
    """An epoch as the training loop asks for it."""
    steps = len(examples) // BATCH
    portion = Portion(Order(len(examples), BATCH, "drop", seed), 1, 1, 0)
    return feed.stream(examples, portion.requests(0, steps))


def measured(batches: Iterable[object]) -> tuple[float, float]:
    """Images per second, and microseconds of processor time an image; the first batch apart."""
    iterator = iter(batches)
    next(iterator)
    elapsed, used, count = time.perf_counter(), time.process_time(), 0
    for _ in iterator:
        count += BATCH
    return count / (time.perf_counter() - elapsed), (time.process_time() - used) / count * 1e6


def _batches(images: tf.data.Dataset) -> Iterable[object]:
    return images.batch(BATCH, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def compare(root: Path, folder: Path, rounds: int) -> None:
    """All loops in turn, and a table of medians."""
    out = folder / "shards"
    prepare(root, out, shards=8, jobs=len(os.sched_getaffinity(0)))
    classes = len(layout.classes(root))
    train = data.load({"name": "imagenet", "root": str(out), "classes": classes}).train
    files = pictures(root)
    sizes = np.array([jpeg.frame(Path(name).read_bytes())[:2] for name in files], np.int64)
    numbers = np.arange(len(files))
    boxes, _ = crops.random_crops(sizes[:, 0], sizes[:, 1], 0, numbers * 0, numbers)
    loops: dict[str, Callable[[int], Iterable[object]]] = {
        "ours": lambda number: ours(train, number),
        "bare": lambda number: bare(files),
        "bare crop": lambda number: bare_crop(files, boxes),
        "plain": lambda number: plain([str(path) for path in layout.shards(out, "train")]),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
    for number in range(rounds + 1):
        for name, loop in loops.items():
            result = measured(loop(number))
            if number:  # the first round warms up
                found[name].append(result)
        print(f"  round {number} of {rounds}", file=sys.stderr, flush=True)
    print("| loop | images/s | processor µs an image | ours / it, images/s | ours / it, by processor time |")
    print("| --- | --- | --- | --- | --- |")
    for name, results in found.items():
        pairs = list(zip(found["ours"], results, strict=True))
        speed = _range([mine[0] / its[0] for mine, its in pairs], 2)
        work = _range([its[1] / mine[1] for mine, its in pairs], 2)
        per_second, per_image = (_range([one[k] for one in results], 0) for k in (0, 1))
        print(f"| {name} | {per_second} | {per_image} | {speed} | {work} |", flush=True)


def _range(values: list[float], digits: int) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def main() -> None:
    """Measures at the size that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--photos", type=Path, required=True, help="folder with train/<class> and val/<class>"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", help="WIDTHxHEIGHT: make the pictures this large first")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = options.photos.resolve()
        if options.size:
            width, height = map(int, options.size.split("x"))
            resized(root, Path(name) / "resized", (width, height))
            root = Path(name) / "resized"
        compare(root, Path(name), options.rounds)


if __name__ == "__main__":
    main()
