"""Photographs on their way to the network: read ahead, decoded, cropped and mirrored by TensorFlow's threads.

The one module of `data` that imports TensorFlow; only training loads it.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from horovod_lb.data.feed import AHEAD, Batch, Request
from horovod_lb.data.imagenet import crops, jpeg
from horovod_lb.data.imagenet.source import Source
from horovod_lb.errors import DataError

READERS = 4
CHUNK = 64  # photographs that a reader fetches at a time; so many times READERS wait in memory
Chunk = tuple[list[bytes], NDArray[np.int32], NDArray[np.bool_], NDArray[np.int64]]


@dataclass(frozen=True)
class Photographs:
    """The photographs `begin` to `end` - 1 of `source`: uint8 [n, size, size, 3], and their classes from 0.

    With `augment`, an example that is taken for an epoch is a random resized crop, mirrored every other time;
    see `crops.random_crops`. Otherwise, and without epochs, it is resized until its shorter side is 256 / 224
    times `size`, and cut to the center. Both by bilinear interpolation without antialiasing, rounded to the
    nearest of 0..255.
    DataError: a photograph that cannot be read or decoded, by its place.
    """

    source: Source
    begin: int
    end: int
    size: int = 224
    augment: bool = True
    seed: int = 0

    def __len__(self) -> int:
        return self.end - self.begin

    def seeded(self, seed: int) -> Photographs:
        """The same examples with the augmentation of another seed."""
        return replace(self, seed=seed)

    def take(
        self, indices: NDArray[np.int64], epochs: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """See `Examples.take`."""
        with closing(self.stream([(indices, epochs)])) as batches:
            return next(batches)

    def stream(self, requests: Iterable[Request]) -> Generator[Batch, None, None]:
        """The batch of each request, in order, made ahead of being asked for; see `feed.stream`."""
        # One pipeline makes batches of one size and kind; another size, as an epoch's last, starts a new one.
        for (count, augmented), alike in itertools.groupby(requests, self._kind):
            if count:
                yield from self._batches(alike, count, augmented)
            else:
                for _ in alike:
                    yield np.empty((0, self.size, self.size, 3), np.uint8), np.empty(0, np.int64)

    def _kind(self, request: Request) -> tuple[int, bool]:
        indices, epochs = request
        return len(indices), self.augment and epochs is not None

    def _batches(self, requests: Iterable[Request], count: int, augmented: bool) -> Iterator[Batch]:
        failures: list[Exception] = []
        asked: deque[Request] = deque()
        pool = ThreadPoolExecutor(READERS, thread_name_prefix="photographs")

        def chunks() -> Iterator[Chunk]:
            try:
                yield from self._read_ahead(pool, requests, asked, augmented)
            except Exception as error:
                failures.append(error)
                raise

        threads = tf.config.threading.get_inter_op_parallelism_threads() or len(os.sched_getaffinity(0))
        options = tf.data.Options()
        # Threads of their own: those of a rank are busy with the training step. One more than decode, for
        # `chunks` keeps one while it waits for files.
        options.threading.private_threadpool_size = threads + 1
        shapes = tf.TensorSpec([None, 4], tf.int32)
        dataset = (
            tf.data.Dataset.from_generator(
                chunks,
                output_signature=(
                    tf.TensorSpec([None], tf.string),
                    shapes,
                    tf.TensorSpec([None], tf.bool),
                    tf.TensorSpec([None], tf.int64),
                ),
            )
            .prefetch(AHEAD)
            .unbatch()
            .map(_crop(self.size) if augmented else _center(self.size), num_parallel_calls=threads)
            .batch(count)
            .prefetch(AHEAD)
            .with_options(options)
        )
        try:
            for batch in dataset.as_numpy_iterator():
                asked.popleft()
                yield batch
        except tf.errors.OpError as error:
            raise (failures[0] if failures else self._undecodable(asked)) from error
        finally:
            # The pipeline's own threads may be asking for more: they are not waited for here.
            pool.shutdown(wait=False, cancel_futures=True)

    def _read_ahead(
        self, pool: ThreadPoolExecutor, requests: Iterable[Request], asked: deque[Request], augmented: bool
    ) -> Iterator[Chunk]:
        """What the pipeline is fed with; a few threads read, each a part of a request."""
        waiting: deque[Future[Chunk]] = deque()
        for request in requests:
            asked.append(request)
            indices, epochs = request
            for start in range(0, len(indices), CHUNK):
                some = slice(start, start + CHUNK)
                of_epochs = epochs[some] if augmented and epochs is not None else None
                waiting.append(pool.submit(self._read, indices[some], of_epochs))
                if len(waiting) == READERS:
                    yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _read(self, indices: NDArray[np.int64], epochs: NDArray[np.int64] | None) -> Chunk:
        """The JPEG files of the examples, what to do with each, whether to mirror it, its class."""
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"there are {len(self):,} examples, not {int(indices.max()) + 1:,}")
        read = [self.source.read(self.begin + int(index)) for index in indices]
        data = [image for image, _ in read]
        shapes = np.array([jpeg.frame(image)[:2] for image in data], np.int64)
        heights, widths = shapes[:, 0], shapes[:, 1]
        if epochs is None:
            resized = crops.resized_shapes(heights, widths, self.size)
            boxes = np.concatenate([(resized - self.size) // 2, resized], axis=1).astype(np.int32)
            mirrored = np.zeros(len(indices), bool)
        else:
            boxes, mirrored = crops.random_crops(heights, widths, self.seed, epochs, indices)
        return data, boxes, mirrored, np.array([label for _, label in read], np.int64)

    def _undecodable(self, asked: Iterable[Request]) -> DataError:
        """Which photograph it was that TensorFlow could not decode."""
        for indices, _ in asked:
            for index in indices:
                number = self.begin + int(index)
                try:
                    tf.io.decode_jpeg(self.source.read(number)[0], channels=3)
                except tf.errors.InvalidArgumentError:
                    return DataError(
                        f"{self.source.where(number)} cannot be decoded. `hlb data check imagenet` lists all "
                        "that cannot; restore them, or leave them out with `hlb data prepare`"
                    )
        return DataError("a photograph cannot be decoded. `hlb data check imagenet` lists all that cannot")


def _crop(size: int) -> Any:
    def make(data: Any, box: Any, mirrored: Any, label: Any) -> tuple[Any, Any]:
        # Only the rows and columns of the crop are decoded, by the faster of the two transforms.
        image = tf.image.decode_and_crop_jpeg(data, box, channels=3)
        image = tf.raw_ops.Reverse(tensor=image, dims=tf.stack([False, mirrored, False]))
        return _rounded(_resized(image, [size, size])), label

    return make


def _center(size: int) -> Any:
    def make(data: Any, box: Any, mirrored: Any, label: Any) -> tuple[Any, Any]:
        whole = tf.image.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
        image = _resized(whole, box[2:])
        center = tf.slice(image, [box[0], box[1], 0], [size, size, 3])
        return _rounded(tf.ensure_shape(center, [size, size, 3])), label

    return make


def _resized(image: Any, shape: Any) -> Any:
    return tf.raw_ops.ResizeBilinear(images=image[None], size=shape, half_pixel_centers=True)[0]


def _rounded(image: Any) -> Any:
    # Bilinear interpolation stays between 0 and 255, so half up is a cast.
    return tf.cast(image + 0.5, tf.uint8)
