"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def temporary(path: Path) -> Path:
    """Where the content of `path` is written before it is whole: `.NAME.PID.tmp` beside it."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def write(path: Path, *chunks: bytes) -> None:
    """Puts a file of `chunks` in the place of `path`, by way of a temporary one. OSError: it is as it was."""
    write_chunks(path, chunks)


def write_chunks(path: Path, chunks: Iterable[bytes]) -> None:
    """As `write`, of chunks made while they are written; what making them raises leaves nothing either."""
    unfinished = temporary(path)
    try:
        with unfinished.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
