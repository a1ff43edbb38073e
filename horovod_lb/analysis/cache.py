"""What reading `metrics.csv` files came to, kept between collects: by a file's content, never by its time.

A file is read and its digest taken every time; only what follows from its bytes alone is remembered: the
values of its rows, and their lines in `epochs.csv`. So no answer can be stale, whatever happens to a folder.
"""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from horovod_lb.analysis import rows as reading
from horovod_lb.analysis.rows import Parsed
from horovod_lb.errors import DiskError
from horovod_lb.runs.atomic import replacing

FILE_NAME = ".collect-cache"
_MAGIC = b"hlb collect cache 1\n"
_DIGEST = 16  # bytes


class Cache:
    """Files that were read before, by digest: `parse` answers or reads, `save` keeps what was used."""

    def __init__(self) -> None:
        self._columns: tuple[str, ...] = ()
        self._about: dict[str, dict[str, Any]] = {}
        self._data = memoryview(b"")
        self._used: dict[str, Parsed] = {}

    @classmethod
    def load(cls, path: Path) -> Cache:
        """The cache in the file `path`; an empty one where it is missing, damaged or another version's."""
        found = cls()
        with suppress(OSError, ValueError, KeyError, TypeError):
            content = path.read_bytes()
            head = len(_MAGIC)
            if content[:head] != _MAGIC:
                return found
            body = memoryview(content)[head + _DIGEST :]
            if _digest(body) != content[head : head + _DIGEST]:
                return found
            end = content.index(b"\n", head + _DIGEST)
            index = json.loads(content[head + _DIGEST : end])
            if index["reader"] == _reader():
                found._columns, found._about = tuple(index["columns"]), index["files"]
                found._data = memoryview(content)[end + 1 :]
        return found

    def parse(self, data: bytes, key: str = "epoch") -> Parsed:
        """As `rows.parse`."""
        digest = f"{_digest(data).hex()}-{key}"
        if digest not in self._used:
            about = self._about.get(digest)
            self._used[digest] = reading.parse(data, key) if about is None else self._restore(about)
        return self._used[digest]

    def _restore(self, about: dict[str, Any]) -> Parsed:
        start, middle, end = about["at"]
        rows = reading.restore(about["columns"], self._data[start:middle])
        if end > middle:
            rows.remember(self._columns, bytes(self._data[middle:end]).decode())
        return Parsed(rows, tuple(about["problems"]))

    def save(self, path: Path, columns: tuple[str, ...]) -> None:
        """Keeps the files that were asked for since `load`, and their lines with these columns, in `path`.

        A folder that cannot be written stays without a cache.
        """
        if self._used.keys() == self._about.keys() and columns == self._columns:
            return
        files: dict[str, Any] = {}
        parts: list[bytes] = []
        start = 0
        for digest, (rows, problems) in self._used.items():
            about, data = reading.dump(rows)
            text = rows.body(columns).encode() if digest.endswith("-epoch") else b""
            middle = start + len(data)
            files[digest] = {
                "at": (start, middle, middle + len(text)),
                "columns": about,
                "problems": problems,
            }
            start = middle + len(text)
            parts += [data, text]
        index = {"reader": _reader(), "columns": columns, "files": files}
        body = b"".join([json.dumps(index).encode(), b"\n", *parts])
        with suppress(DiskError), replacing(path) as file:
            file.write(_MAGIC + _digest(body) + body)


def _digest(data: bytes | memoryview) -> bytes:
    return blake2b(data, digest_size=_DIGEST).digest()


@cache
def _reader() -> str:
    """The digest of the code that reads: another version may read the same bytes otherwise."""
    import horovod_lb.analysis.table as cells
    import horovod_lb.runs.metrics as metrics

    sources = (Path(module.__file__ or "") for module in (reading, cells, metrics))
    return blake2b(b"".join(path.read_bytes() for path in sources), digest_size=_DIGEST).hexdigest()
