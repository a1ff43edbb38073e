"""Published results, to stand beside a study's own: `published("speed-records")`.

A set of results is two files here: `<name>.csv`, a row a result, and `<name>.toml`, which says where it
comes from. Columns that mean the same as those of `runs.csv` or `accuracy.csv` have their names and units
(fractions, seconds); `where` is the table, figure or section of the source, `note` what else must be known.
Cells are empty where the source gives no number. Facts and figures of papers only.
"""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from horovod_lb.analysis.table import Table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Published:
    """Published results: `title`, the `source` to cite, a `note` on all of them ("" where there is none), and
    the `table`.
    """

    name: str
    title: str
    source: str
    note: str
    table: Table

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A mapping a row: whole numbers as int, other numbers as float, empty cells as None, else text."""
        return [dict(row) for row in self.table.rows]


def published(name: str) -> Published | None:
    """The published results of this name; None where there are none. `published_names()` lists them."""
    if name not in published_names():
        return None
    folder = files(__name__)
    about = tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))
    text = (folder / f"{name}.csv").read_text(encoding="utf-8")
    lines = csv.DictReader(io.StringIO(text), strict=True)
    rows = [{column: _value(cell) for column, cell in line.items()} for line in lines]
    table = Table(tuple(lines.fieldnames or ()), rows)
    return Published(name, about["title"], about["source"], about.get("note", ""), table)


def published_names() -> list[str]:
    """The names of all published results that ship with the project, by letter."""
    entries = (entry.name for entry in files(__name__).iterdir())
    return sorted(name.removesuffix(".toml") for name in entries if name.endswith(".toml"))


def _value(cell: str) -> Any:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell or None


__all__ = ["Published", "published", "published_names"]
