"""Class folders made into TFRecord shards by several processes; stopped anywhere, it goes on from there."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path

from horovod_lb.data.imagenet import index, layout, manifest, shard
from horovod_lb.data.imagenet.manifest import Manifest, Shard
from horovod_lb.data.imagenet.shard import Task
from horovod_lb.data.imagenet.source import mixed
from horovod_lb.errors import DataError, HlbError

# So many examples in a shard make 1,024 and 128 shards of the published set.
PER_SHARD = {"train": 1_252, "validation": 391}
WRITE_SECONDS = 1.0  # between two writes of the manifest

Progress = Callable[[int, int], None]


class PreparationError(HlbError):
    """Shards could not be written; those that are whole are kept, and the same command makes the rest."""


def prepare(
    source: Path, out: Path, *, shards: int | None = None, jobs: int = 1, progress: Progress | None = None
) -> Manifest:
    """Makes shards in `out` of the class folders in `source`, and an index; returns the manifest.

    Args:
        shards: of the training part; the validation part gets an eighth as many. Default: as many as give
            the published set 1,024 and 128.
        jobs: processes that work at once. The bytes do not depend on it.
        progress: called with the pictures done and all of them, as shards become whole.

    Raises:
        DataError: the class folders are not as `layout` describes them, or `out` holds something else.
        PreparationError: the disk is full or read-only, a process died, or another process is preparing
            `out`.
    """
    source, out = source.resolve(), out.resolve()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _locked(out):
            found, tasks = _plan(source, out, shards)
            _work(found, tasks, out, jobs, progress or (lambda done, total: None))
    except OSError as error:
        raise _explained(error, out) from error
    for part in found.totals:
        index.load(layout.shards(out, part), part)
    return found


def _plan(source: Path, out: Path, shards: int | None) -> tuple[Manifest, dict[str, Task]]:
    """The manifest as far as it is there, and all shards by name."""
    classes = layout.classes(source)
    digest = hashlib.sha256()
    totals: dict[str, int] = {}
    tasks: dict[str, Task] = {}
    for part, size in PER_SHARD.items():
        found = layout.listing(source, part)
        count = len(found.paths)
        wanted = -(-count // size) if shards is None else shards if part == "train" else -(-shards // 8)
        total = totals[part] = min(wanted, count)
        pictures = [(found.paths[number], found.labels[number]) for number in mixed(count)]
        for path, label in pictures:
            digest.update(f"{path}\0{classes[label]}\n".encode())
        for number in range(total):
            some = slice(number * count // total, (number + 1) * count // total)
            name = f"{part}-{number:05}-of-{total:05}"
            tasks[name] = Task(out / name, source, tuple(pictures[some]), tuple(classes))
    planned = Manifest(digest.hexdigest(), classes, totals)
    earlier = manifest.read(out)
    if earlier is None:
        if other := [path.name for part in layout.PARTS for path in layout.shards(out, part)]:
            raise DataError(f"{out}: it holds {other[0]}, but no {manifest.FILE}; choose an empty folder")
        return planned, tasks
    if (earlier.source, earlier.classes) != (planned.source, planned.classes):
        raise DataError(
            f"{out}: it holds shards of other pictures than those in {source}, or of these before something "
            "was added or taken away; choose another folder, or delete this one"
        )
    if earlier.totals != planned.totals:
        raise DataError(
            f"{out}: it holds {earlier.totals['train']} training shards, not {planned.totals['train']}; give "
            f"--shards {earlier.totals['train']}, or choose another folder"
        )
    # A shard is whole as soon as it has its name; one that somebody cut or removed is made again.
    planned.shards = {
        name: made for name, made in earlier.shards.items() if _size(tasks[name].path) == made.bytes
    }
    return planned, tasks


def _work(found: Manifest, tasks: dict[str, Task], out: Path, jobs: int, progress: Progress) -> None:
    todo = {name: task for name, task in tasks.items() if name not in found.shards}
    total = sum(len(task.pictures) for task in tasks.values())
    done = total - sum(len(task.pictures) for task in todo.values())
    progress(done, total)
    found.write(out)
    written = time.monotonic()
    try:
        for name, made in _made(todo, jobs):
            found.shards[name] = made
            done += len(tasks[name].pictures)
            progress(done, total)
            if time.monotonic() - written > WRITE_SECONDS:
                found.write(out)
                written = time.monotonic()
    finally:
        if todo:
            found.write(out)


def _made(todo: dict[str, Task], jobs: int) -> Iterator[tuple[str, Shard]]:
    """Each shard as it becomes whole."""
    if jobs == 1:
        for name, task in todo.items():
            yield name, shard.make(task)
        return
    # Not forked: the caller may have threads.
    pool = ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context("spawn"), initializer=shard.end_with_parent
    )
    try:
        waiting = {pool.submit(shard.make, task): name for name, task in todo.items()}
        for future in as_completed(waiting):
            yield waiting[future], future.result()
    except BrokenProcessPool as error:
        raise PreparationError(
            "a process that made shards ended by itself: was it killed, or was there too little memory? What "
            "is whole is kept; run the same command again, perhaps with fewer --jobs"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """One process at a time, as far as the file system can tell; where it cannot, two do the work twice."""
    descriptor = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PreparationError(
                f"{out}: another process is preparing this folder; wait for it or end it. Nothing was changed"
            ) from None
        except OSError:  # no locks here: shards and manifest are replaced whole, and equal whoever made them
            yield
            return
        for leftover in out.glob(".*.tmp"):
            with suppress(OSError):
                leftover.unlink()
        yield
    finally:
        os.close(descriptor)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _explained(error: OSError, out: Path) -> PreparationError:
    where = error.filename or out
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return PreparationError(
            f"cannot write {where}: {error.strerror}. The shards that are whole are kept; free some space in "
            f"{out} and run the same command again"
        )
    return PreparationError(f"cannot use {where}: {error.strerror}; what is whole in {out} is kept")
