"""The output of a run in a file of its own, also what C code prints."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOG = "log"

_ERROR = re.compile(
    r"^[\w.]*(Error|Exception|Exit|Interrupt)(:|$)|^Fatal Python error|\bsignal \d+ \(|^Killed$|rror:"
)
# What srun and its helpers say of the other ranks once one has failed: not what went wrong.
_AFTERMATH = re.compile(
    r"^srun: error: .*: tasks? [\d,-]+: (Exited with exit code \d+|Terminated)$|"
    r"^slurmstepd\S*: error: \*\*\* STEP \S+ ON \S+ CANCELLED AT \S+ \*\*\*$"
)
_NEAR = 100  # lines: what is further up may be of an earlier life
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0e-\x1f\x7f]")  # colours among them


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """For its time, file descriptors 1 and 2 of this process append to the file `path`."""
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    saved = os.dup(1), os.dup(2)
    _flush()
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    try:
        yield
    finally:
        _flush()
        for descriptor, old in zip((1, 2), saved, strict=True):
            os.dup2(old, descriptor)
            os.close(old)


def rank_log(segment: Path, rank: int) -> Path:
    """The log of one rank in a life's folder: `log` of rank 0, `log.<rank>` of the others."""
    return segment / (LOG if rank == 0 else f"{LOG}.{rank}")


def error_line(path: Path, limit: int = 65536) -> str | None:
    """The last line of a log that says what went wrong (`SomethingError: ...`, `... exited on signal 9`).

    Reads the last `limit` bytes; None where no line does, or where there is no log. A launcher's word of how
    ranks ended comes after what the ranks themselves said.
    """
    lines = _tail(path, limit)
    found = [number for number, line in enumerate(lines) if _ERROR.search(line)]
    causes = [n for n in found if n > found[-1] - _NEAR and not _AFTERMATH.search(lines[n])]
    return lines[(causes or found)[-1]] if found else None


def last_error_line(path: Path, limit: int = 65536) -> str | None:
    """`error_line`, else the last line with text; None where there is no log or nothing in it."""
    lines = _tail(path, limit)
    return error_line(path, limit) or (lines[-1] if lines else None)


def _tail(path: Path, limit: int) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - limit))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.strip() for line in _CONTROL.sub("", text).splitlines() if line.strip()]


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
