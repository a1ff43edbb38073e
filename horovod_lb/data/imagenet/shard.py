"""One shard made of pictures, and what a worker process needs for it. No module here imports TensorFlow."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from horovod_lb.data.imagenet import example, jpeg, records, writing
from horovod_lb.data.imagenet.manifest import Shard

FIRST_LABEL = 1  # as the standard converters have it: 0 is for a background class


@dataclass(frozen=True)
class Task:
    """A shard to be made: the file `path` of the `pictures` (path below `root`, class from 0)."""

    path: Path
    root: Path
    pictures: tuple[tuple[str, int], ...]
    classes: tuple[str, ...]


def make(task: Task) -> Shard:
    """Writes the shard, whole or not at all; a picture that cannot be decoded is left out. OSError."""
    digest = hashlib.sha256()
    converted: list[list[str]] = []
    left_out: list[list[str]] = []
    size = 0

    def chunks() -> Iterator[bytes]:
        nonlocal size
        for name, label in task.pictures:
            data = (task.root / name).read_bytes()
            try:
                jpeg.check(data)
                data, was = jpeg.as_jpeg(data)
                height, width, _ = jpeg.frame(data)
            except ValueError as error:
                left_out.append([name, str(error)])
                continue
            if was:
                converted.append([name, was])
            record = records.framed(
                example.encoded(
                    {
                        "image/class/label": label + FIRST_LABEL,
                        "image/class/synset": task.classes[label].encode(),
                        "image/channels": 3,
                        "image/colorspace": b"RGB",
                        "image/encoded": data,
                        "image/filename": Path(name).name.encode(),
                        "image/format": b"JPEG",
                        "image/height": height,
                        "image/width": width,
                    }
                )
            )
            digest.update(record)
            size += len(record)
            yield record

    writing.write_chunks(task.path, chunks())
    return Shard(len(task.pictures) - len(left_out), size, digest.hexdigest(), converted, left_out)


def end_with_parent() -> None:
    """For a worker process: it ends when the one that started it does, however that was."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=watch, daemon=True, name="parent").start()
