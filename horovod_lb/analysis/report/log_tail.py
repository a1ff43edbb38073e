"""The last lines of a log, as text."""

from __future__ import annotations

import re
from pathlib import Path

_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")  # colours among them
_LONGEST = 400


def log_tail(path: Path, lines: int = 40, limit: int = 16384) -> str:
    """The last `lines` lines within the last `limit` bytes of a log, without control characters; empty where
    there is no log. A progress bar's line (`\\r`) shows what it said last.
    """
    try:
        with path.open("rb") as file:
            start = max(0, path.stat().st_size - limit)
            file.seek(start)
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    found = text.split("\n")[1 if start else 0 :]
    while found and not found[-1].strip():
        found.pop()
    return "\n".join(_line(line) for line in found[-lines:])


def _line(line: str) -> str:
    last = line.rstrip("\r").rpartition("\r")[2]
    shown = _CONTROL.sub("", last).rstrip()
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]} ..."
