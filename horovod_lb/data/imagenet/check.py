"""Every picture of a set looked at: counts, labels, checksums, and whether it can be decoded."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from horovod_lb.data.imagenet import example, jpeg, layout, manifest, records
from horovod_lb.data.imagenet.manifest import Manifest
from horovod_lb.data.imagenet.shard import end_with_parent
from horovod_lb.data.imagenet.source import ENCODED, LABEL, wrong_label
from horovod_lb.errors import DataError

_FILES = 256  # pictures in folders that a process looks at in one go

Progress = Callable[[int, int], None]


@dataclass
class Found:
    """What is in some files: examples, their classes from 0, what is wrong, and what is unusual but good."""

    examples: int = 0
    labels: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, other: Found) -> None:
        """Takes in what is in other files."""
        self.examples += other.examples
        self.labels += other.labels
        self.problems += other.problems
        self.notes += other.notes


@dataclass(frozen=True)
class Task:
    """What one process looks at next: a shard, or pictures in class folders with their classes."""

    classes: int
    first_label: int
    decode: bool
    shard: Path | None = None
    sha256: str = ""
    root: Path = Path()
    pictures: tuple[tuple[str, int], ...] = ()


def check(
    root: Path,
    *,
    classes: int | None = None,
    first_label: int = 1,
    decode: bool = True,
    jobs: int = 1,
    progress: Progress | None = None,
) -> dict[str, Found]:
    """What the parts `train` and `validation` in `root` hold. What is wrong is listed, not raised.

    Args:
        classes: default: those of the manifest or the folders, else 1,000.
        first_label: the label of the first class in shards.
        decode: decode every picture; otherwise shards' lengths, names and checksums of lengths are looked at
            only.
        jobs: processes that work at once.
        progress: called with the tasks done and all of them.
    """
    found = {part: Found() for part in layout.PARTS}
    tasks: list[tuple[str, Task]] = []
    record = _manifest(root, found["train"])
    if classes is None:
        classes = len(record.classes if record else layout.classes(root)) or 1000
    for part in layout.PARTS:
        try:
            tasks += [(part, task) for task in _tasks(root, part, record, classes, first_label, decode)]
        except DataError as error:
            found[part].problems.append(str(error))
    for number, result in enumerate(_looked_at([task for _, task in tasks], jobs), 1):
        found[tasks[number - 1][0]].add(result)
        if progress:
            progress(number, len(tasks))
    for part, one in found.items():
        if record and not one.problems and one.examples != record.examples(part):
            one.problems.append(
                f"{root}: {one.examples:,} {part} examples, {record.examples(part):,} in {manifest.FILE}"
            )
    return found


def look(task: Task) -> Found:
    """What is in the files of `task`."""
    found = Found()
    if task.shard is not None:
        _look_at_shard(task.shard, task, found)
    for name, label in task.pictures:
        found.examples += 1
        found.labels[label] += 1
        if task.decode:
            _look_at_picture((task.root / name).read_bytes, f"{task.root / name}:", found)
    return found


def _manifest(root: Path, found: Found) -> Manifest | None:
    try:
        record = manifest.read(root)
    except DataError as error:
        found.problems.append(str(error))
        return None
    if record and not record.complete:
        total = sum(record.totals.values())
        found.problems.append(
            f"{root}: {len(record.shards)} of {total} shards are prepared; run `hlb data prepare` again"
        )
    return record


def _tasks(
    root: Path, part: str, record: Manifest | None, classes: int, first_label: int, decode: bool
) -> Iterator[Task]:
    if paths := layout.shards(root, part):
        known = record.shards if record else {}
        for path in paths:
            sha256 = known[path.name].sha256 if path.name in known else ""
            yield Task(classes, first_label, decode, shard=path, sha256=sha256)
        return
    listing = layout.listing(root, part)
    pictures = list(zip(listing.paths, listing.labels, strict=True))
    for start in range(0, len(pictures), _FILES):
        yield Task(classes, first_label, decode, root=root, pictures=tuple(pictures[start : start + _FILES]))


def _looked_at(tasks: Sequence[Task], jobs: int) -> Iterator[Found]:
    if jobs == 1:
        yield from map(look, tasks)
        return
    with ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context("spawn"), initializer=end_with_parent
    ) as pool:
        yield from pool.map(look, tasks)


def _look_at_shard(path: Path, task: Task, found: Found) -> None:
    try:
        offsets = records.scan(path)
    except DataError as error:
        found.problems.append(str(error))
        return
    found.examples += len(offsets)
    if not offsets:
        found.problems.append(f"{path}: it holds no record")
    if not task.decode:
        return
    ends = [*offsets[1:], path.stat().st_size]
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for number, (offset, end) in enumerate(zip(offsets, ends, strict=True)):
            where = f"{path}: record {number}"
            try:
                record = records.read(descriptor, offset, end - offset - records.FRAME)
                features = example.spans(record)
                label = example.int_value(record, features[LABEL]) - task.first_label
                image = example.bytes_value(record, features[ENCODED])
            except KeyError as error:
                found.problems.append(f"{where} has no feature {error.args[0].decode()}")
                continue
            except ValueError as error:
                found.problems.append(f"{where} {error}")
                continue
            found.labels[label] += 1
            if not 0 <= label < task.classes:
                found.problems.append(f"{where} {wrong_label(label, task.classes, task.first_label)}")
            _look_at_picture(lambda image=image: image, where, found)  # type: ignore[misc]
    finally:
        os.close(descriptor)
    if task.sha256 and _sha256(path) != task.sha256:
        found.problems.append(f"{path}: its SHA-256 is not that in {manifest.FILE}: it was changed")


def _look_at_picture(read: Callable[[], bytes], where: str, found: Found) -> None:
    try:
        data = read()
        jpeg.check(data)
        _, was = jpeg.as_jpeg(data)
        if was:
            found.notes.append(f"{where} is {was}; it is converted when it is read")
    except OSError as error:
        found.problems.append(f"{where} cannot be read ({error.strerror})")
    except ValueError as error:
        found.problems.append(f"{where} {error}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
