"""A folder of results: the tables as CSV, for people, and as Parquet on request, with their provenance."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.parquet import to_parquet
from horovod_lb.analysis.provenance import provenance
from horovod_lb.errors import RequestError
from horovod_lb.runs.atomic import read_json, write_bytes, write_json, write_text

if TYPE_CHECKING:
    from horovod_lb.analysis.results import Results

PROVENANCE = "provenance.json"
_OURS = re.compile(r"[a-z0-9_]+\.(csv|parquet)")


def write(results: Results, out: Path, *, parquet: bool = False) -> None:
    """Writes all tables and `provenance.json` into `out`; each file is replaced whole or left as it was.

    A table that an earlier collect has written and this one has not is deleted. Raises `RequestError` where
    `out` cannot be a folder, or `parquet` is asked for and pyarrow is not installed.
    """
    before = read_json(out / PROVENANCE) if out.is_dir() else None
    files = (
        {f"{name}.parquet": to_parquet(table) for name, table in results.tables.items()} if parquet else {}
    )
    make_folder(out / "tables")
    digests = {}
    for name, table in results.tables.items():
        content = table.to_csv().encode()
        write_bytes(out / f"{name}.csv", content)
        digests[f"{name}.csv"] = hashlib.sha256(content).hexdigest()
    for name, data in files.items():
        write_bytes(out / name, data)
    for name, text in for_people(results):
        write_text(out / name, text)
    about = provenance(results.source, results.records, digests)
    write_json(out / PROVENANCE, about | ({"parquet": sorted(files)} if files else {}))
    _delete(out, _tables_of(before or {}) - _tables_of(about) - set(files))


def make_folder(folder: Path) -> None:
    """Makes `folder` for results where there is none. Raises `RequestError` where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"cannot make the folder {folder}: {error.strerror}") from error


def holds_tables(folder: Path) -> bool:
    """Whether a folder holds collected tables, and no run folders."""
    from horovod_lb.runs import run_directories

    return (folder / "runs.csv").is_file() and not any(run_directories(folder))


def for_people(results: Results) -> Iterator[tuple[str, str]]:
    """File names below the folder and contents of the tables in Markdown and LaTeX."""
    for name, caption, table in results.presented():
        yield f"tables/{name}.md", table.to_markdown(caption)
        yield f"tables/{name}.tex", table.to_latex(caption, f"tab:{results.source.file_name}-{name}")


def _tables_of(about: Mapping[str, Any]) -> set[str]:
    digests, parquet = about.get("tables_sha256"), about.get("parquet")
    return {*(digests if isinstance(digests, dict) else ()), *(parquet if isinstance(parquet, list) else ())}


def _delete(out: Path, names: set[str]) -> None:
    for name in names:
        if _OURS.fullmatch(name):
            with suppress(FileNotFoundError):
                (out / name).unlink()
