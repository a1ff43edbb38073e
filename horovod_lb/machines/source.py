"""Machine profiles as files: TOML text whose keys know their line, and the folders that hold them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from horovod_lb.errors import MachineError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KeyPath = tuple[str | int, ...]
SHIPPED = Path(__file__).parent
_HEADER = re.compile(r"\s*\[(\[?)([^\[\]]+)\]")
_KEY = re.compile(r"""\s*([A-Za-z0-9_"'][\w."' -]*?)\s*=""")
_POSITION = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)")


@dataclass(frozen=True)
class Source:
    """A TOML file that has been read: its path, its text and its data."""

    path: Path
    text: str
    data: dict[str, Any]

    def where(self, path: KeyPath) -> str:
        """`file:line` of a key, or of the nearest table around it; the file where neither is written."""
        while path and path not in self._lines:
            path = path[:-1]
        return f"{self.path}:{self._lines[path]}" if path else str(self.path)

    @cached_property
    def _lines(self) -> dict[KeyPath, int]:
        return dict(_key_lines(self.text))


def read(path: Path) -> Source:
    """The TOML file at `path`. MachineError: it cannot be read, or where it is no TOML."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return Source(path, text, tomllib.loads(text))
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        byte = error.object[error.start]
        raise MachineError(f"{path}:{line}: byte {byte:#04x} is not UTF-8; save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        found = _POSITION.search(str(error))
        problem = _POSITION.sub("", str(error))
        place = f":{found[1]}" if found and found[1] else ""
        column = f" (column {found[2]})" if found and found[1] else " (at the end of the file)"
        raise MachineError(f"{path}{place}: not valid TOML: {problem}{column}") from None
    except OSError as error:
        raise MachineError(f"{path}: cannot be read: {error.strerror}") from None


def config_folder() -> Path:
    """The user's own settings: `$XDG_CONFIG_HOME/horovod_lb` where that is absolute, else in `~/.config`."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".config") / "horovod_lb"


def folders(study: str | os.PathLike[str] | None = None) -> list[Path]:
    """Where profiles are looked for, weakest first; `study`: a study file, or the folder that holds it."""
    found = [SHIPPED, config_folder() / "machines"]
    if study is not None:
        beside = Path(study)
        found.append((beside if beside.is_dir() else beside.parent) / "machines")
    return found


def _key_lines(text: str) -> Iterator[tuple[KeyPath, int]]:
    """Each key or table at the first line that writes it; good enough for messages, blind in long strings."""
    table: KeyPath = ()
    elements: dict[KeyPath, int] = {}
    seen: set[KeyPath] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _parts(header[2])
            if header[1]:
                elements[table] = elements.get(table, -1) + 1
                found = [table, table := (*table, elements[table])]
            else:
                found = [table]
        elif key := _KEY.match(line):
            parts = _parts(key[1])
            found = [(*table, *parts[:length]) for length in range(1, len(parts) + 1)]
        else:
            continue
        for path in found:
            if path not in seen:
                seen.add(path)
                yield path, number


def _parts(key: str) -> KeyPath:
    return tuple(part.strip().strip("\"'") for part in key.split("."))
