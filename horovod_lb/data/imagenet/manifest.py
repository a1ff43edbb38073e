"""The record of prepared shards: `manifest.json`, which `hlb data prepare` keeps while it works.

It says what the shards are made of and, for each that is whole, how many examples and bytes it has and its
SHA-256. It holds no times and no paths of the machine: the same pictures make the same bytes of it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from horovod_lb.data.imagenet import writing
from horovod_lb.errors import DataError

FILE = "manifest.json"
SCHEMA = 1


@dataclass(frozen=True)
class Shard:
    """A shard that is whole. `converted` are [picture, what it was], `left_out` are [picture, why]."""

    examples: int
    bytes: int
    sha256: str
    converted: list[list[str]] = field(default_factory=list)
    left_out: list[list[str]] = field(default_factory=list)


@dataclass
class Manifest:
    """What a folder of shards holds.

    `source` is the SHA-256 of the pictures' names and classes, `classes` the names of the classes in the
    order of their labels, `totals` the number of shards of each part, `shards` those that are whole, by name.
    """

    source: str
    classes: list[str]
    totals: dict[str, int]
    shards: dict[str, Shard] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Is every shard there?"""
        return len(self.shards) == sum(self.totals.values())

    def examples(self, part: str) -> int:
        """The examples in the shards of `part` that are whole."""
        return sum(shard.examples for name, shard in self.shards.items() if name.startswith(f"{part}-"))

    def write(self, folder: Path) -> None:
        """Puts it into `folder`; OSError: what was there is left as it was."""
        content = {"schema": SCHEMA, "complete": self.complete, **asdict(self)}
        content["shards"] = {name: content["shards"][name] for name in sorted(self.shards)}
        writing.write(folder / FILE, json.dumps(content, indent=1).encode() + b"\n")


def read(folder: Path) -> Manifest | None:
    """The manifest in `folder`; None: there is none. DataError: it is damaged, or of another version."""
    path = folder / FILE
    try:
        content: Any = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(f"{path}: it cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{path}: it is no JSON ({error}); delete it and prepare the set again") from error
    try:
        if content["schema"] != SCHEMA:
            raise DataError(f"{path}: its schema is {content['schema']}, this version reads {SCHEMA}")
        return Manifest(
            content["source"],
            content["classes"],
            content["totals"],
            {name: Shard(**shard) for name, shard in content["shards"].items()},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: it is damaged; delete it and prepare the set again") from error
