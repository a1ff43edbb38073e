"""Files that a crash cannot leave half-written: replaced whole, or appended line by line.

`write_*` puts a new file in the place of the old one (temporary file in the same folder, fsync, rename, fsync
of the folder); `append_line` adds one line with one write, and first drops a partial line that a dead writer
left behind. Readers see the old content or the new one, and never a line without its end.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from horovod_lb.errors import DiskError, RunDirectoryError

_CHUNK = 4096
_TEMPORARY = re.compile(r"\..+\.\d+\.(?P<pid>\d+)\.(?P<host>.+)\.tmp")
_LEFTOVER_SECONDS = 60.0


def write_bytes(path: Path, data: bytes) -> None:
    """Replaces the file `path` by `data`, or leaves it as it was and raises `DiskError`."""
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: Path, fence: Callable[[], None] | None = None) -> Iterator[BinaryIO]:
    """A file to write into, which takes the place of `path` when the block ends.

    `fence` is called when all of it is on the disk, right before it gets its name. Whatever is raised, `path`
    is left as it was. Raises `DiskError` where the file cannot be written.
    """
    temporary = temporary_beside(path)
    with disk_errors(path, "it is left as it was"):
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if fence is not None:
                fence()
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        fsync_directory(path.parent)


def temporary_beside(path: Path) -> Path:
    """A name for what will be `path`, in the same folder; `sweep_up` knows whose it is."""
    return path.parent / f".{path.name}.{time.monotonic_ns()}.{os.getpid()}.{os.uname().nodename}.tmp"


def sweep_up(folder: Path) -> None:
    """Deletes what dead writers left half-written in `folder`; who is alive may be writing at this moment.

    A process of this host is seen to be dead; a file from elsewhere belongs to nobody after a minute.
    """
    for path in folder.glob(".*.tmp"):
        writer = _TEMPORARY.fullmatch(path.name)
        with suppress(FileNotFoundError):
            if writer and writer["host"] == os.uname().nodename:
                dead = not Path("/proc", writer["pid"]).exists()
            else:
                dead = time.time() - path.stat().st_mtime > _LEFTOVER_SECONDS
            if dead:
                path.unlink()


def write_text(path: Path, text: str) -> None:
    """Replaces the file `path` by `text` in UTF-8; see `write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replaces the file `path` by `value` as JSON; numbers that are not finite become null."""
    write_text(path, json.dumps(plain(value), indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in the file `path`; None where there is no file or no whole object in it.

    Raises `RunDirectoryError` where the file is there and may not be read.
    """
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        raise RunDirectoryError(f"cannot read {path}: {error.strerror}") from error
    return value if isinstance(value, dict) else None


def append_line(path: Path, line: str) -> None:
    """Appends `line` (without its newline) to the file `path` and waits until it is on the disk."""
    append_lines(path, [line])


def append_lines(path: Path, lines: Sequence[str]) -> None:
    """Appends `lines` by one write; a crash in it leaves some of the first of them."""
    if any("\n" in line for line in lines):
        raise ValueError("a line holds no line break")
    data = "".join(f"{line}\n" for line in lines).encode()
    with disk_errors(path, "the lines it had are kept"):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            end = whole_lines_end(descriptor)
            if end < os.fstat(descriptor).st_size:
                os.ftruncate(descriptor, end)
            try:
                _write_all(descriptor, data)
            except OSError:
                os.ftruncate(descriptor, end)
                raise
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_lines(path: Path) -> list[str]:
    """The whole lines of the file `path`; a partial last line is left out; no file: no lines."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunDirectoryError(f"cannot read {path}: {error.strerror}") from error
    return data[: data.rfind(b"\n") + 1].decode(errors="replace").split("\n")[:-1]


def whole_lines_end(descriptor: int) -> int:
    """The length in bytes of the whole lines in an open file: where its last newline ends."""
    end = os.fstat(descriptor).st_size
    while end:
        start = max(0, end - _CHUNK)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def fsync_directory(path: Path) -> None:
    """Waits until the names in the folder `path` are on the disk, where the file system can do that."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: NumPy scalars become numbers, paths strings, NaN and infinity None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


@contextmanager
def disk_errors(path: Path, consequence: str) -> Iterator[None]:
    """Makes a `DiskError` of an `OSError`: which file, why, what follows from it, and what to do."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "free some space there, or take another folder with --runs" if full else "check the folder"
        raise DiskError(f"cannot write {path}: {error.strerror}; {consequence}; {remedy}") from error
