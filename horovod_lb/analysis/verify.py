"""Whether the tables of a results folder are what its runs say: made again from the runs, compared cell by
cell.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from horovod_lb.analysis.parquet import csv_of_parquet
from horovod_lb.analysis.results import Results, collect
from horovod_lb.analysis.source import Watch
from horovod_lb.analysis.written import PROVENANCE, for_people
from horovod_lb.errors import HlbError, RequestError
from horovod_lb.runs import State
from horovod_lb.runs.atomic import read_json

_KEYS = {"runs": ("run_id",), "epochs": ("run_id", "epoch"), "steps": ("run_id", "step")}
_RESULTS = (State.COMPLETED.value, State.DIVERGED.value)


@dataclass(frozen=True)
class Verdict:
    """What was found. `checked` files were compared; `differences` are sentences by file; `edited` are the
    files that are not as they were written; `gone` says why the tables could not be made again, else None;
    `hints` tell what has changed since the tables were written.
    """

    checked: tuple[str, ...]
    differences: Mapping[str, Sequence[str]]
    edited: tuple[str, ...]
    gone: str | None = None
    hints: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether every table was made again and is the same."""
        return not (self.differences or self.edited or self.gone)


def verify(
    folder: Path, roots: Sequence[Path] = (), *, target: str | Path | None = None, watch: Watch = iter
) -> Verdict:
    """Makes the tables of the results folder `folder` again and compares them.

    `roots` and `target` stand in for the runs folders and the study that `provenance.json` names, where these
    are elsewhere now. Raises `RequestError` where `folder` holds no results of a collect.
    """
    about = read_json(folder / PROVENANCE)
    if about is None or not isinstance(about.get("tables_sha256"), dict):
        raise RequestError(f"{folder} holds no {PROVENANCE} of `hlb collect`")
    edited = tuple(_edited(folder, about["tables_sha256"]))
    try:
        results = _again(about, roots, target, watch)
    except HlbError as error:
        return _gone(folder, about, edited, str(error))
    if _had_results(about) and not any(record.state.has_result for record in results.records):
        places = ", ".join(map(str, results.source.folders))
        return _gone(folder, about, edited, f"there are no results in {places}")
    made = {f"{name}.csv": table.to_csv() for name, table in results.tables.items()}
    differences: dict[str, Sequence[str]] = {}
    for name, text in made.items():
        keys = _KEYS.get(name.removesuffix(".csv")) or results.axes
        if found := list(_cells_that_differ(_text(folder / name), text, keys)):
            differences[name] = found
    parquet = [
        f"{name}.parquet" for name in results.tables if f"{name}.parquet" in (about.get("parquet") or ())
    ]
    for name in parquet:
        stem = name.removesuffix(".parquet")
        keys = _KEYS.get(stem) or results.axes
        if found := list(_cells_that_differ(_parquet_text(folder / name), made[f"{stem}.csv"], keys)):
            differences[name] = found
    for name in about["tables_sha256"]:
        if name not in made:
            differences[name] = ["the runs make no such table"]
    people = dict(for_people(results))
    for name, text in people.items():
        if found := list(_lines_that_differ(folder / name, text)):
            differences[name] = found
    return Verdict((*made, *parquet, *people), differences, edited, hints=tuple(_hints(about, results)))


def _gone(folder: Path, about: Mapping[str, Any], edited: tuple[str, ...], why: str) -> Verdict:
    missing = {
        name: ["the file is missing"] for name in about["tables_sha256"] if not (folder / name).is_file()
    }
    return Verdict(tuple(about["tables_sha256"]), missing, edited, why)


def _again(
    about: Mapping[str, Any], roots: Sequence[Path], target: str | Path | None, watch: Watch
) -> Results:
    asked = about.get("asked")
    if not isinstance(asked, Mapping) or not asked.get("target"):
        if target is None:
            raise RequestError("its provenance.json does not say what was collected; say it with --study")
        asked = {}
    target = target or str(asked["target"])
    return collect(
        target,
        # A folder of runs is read as it is, wherever runs folders are.
        () if Path(target).is_dir() else roots or [Path(root) for root in asked.get("runs") or ()],
        overrides=asked.get("set") or (),
        where=asked.get("where"),
        watch=watch,
        allow_dirty=True,
    )


def _edited(folder: Path, digests: Mapping[str, str]) -> Iterator[str]:
    """The tables that are not as they were written."""
    for name, digest in digests.items():
        path = folder / name
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            yield name


def _had_results(about: Mapping[str, Any]) -> bool:
    return any((about.get("runs") or {}).get(state) for state in _RESULTS)


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8-sig", errors="replace") if path.is_file() else None


def _parquet_text(path: Path) -> str | None:
    return csv_of_parquet(path.read_bytes()) if path.is_file() else None


def _cells_that_differ(found: str | None, made: str, keys: Sequence[str]) -> Iterator[str]:
    """Sentences on where the table in a file is another than the one made again."""
    if found is None:
        yield "the file is missing"
        return
    should, there = _read(made), _read(found)
    for name in there.header:
        if name not in should.header:
            yield f"column {name} should not be there"
    for name in should.header:
        if name not in there.header:
            yield f"column {name} is missing"
    columns = [name for name in should.header if name in there.header]
    keys = [name for name in keys if name in columns]
    old, new = _by_key(there, keys), _by_key(should, keys)
    for key, row in new.items():
        if key not in old:
            yield f"row {_name(key, keys)} is missing"
            continue
        for name in columns:
            if old[key].get(name, "") != row[name]:
                yield (
                    f"row {_name(key, keys)}, column {name}: there is {_shown(old[key].get(name, ''))}, "
                    f"should be {_shown(row[name])}"
                )
    for key in old:
        if key not in new:
            yield f"row {_name(key, keys)} should not be there"
    if list(old) != list(new) and old.keys() == new.keys():
        yield "the rows stand in another order"


@dataclass(frozen=True)
class _Csv:
    header: list[str]
    rows: list[dict[str, str]]


def _read(text: str) -> _Csv:
    lines = csv.reader(io.StringIO(text, newline=""))
    header = next(lines, [])
    return _Csv(header, [dict(zip(header, cells, strict=False)) for cells in lines if cells])


def _by_key(table: _Csv, keys: Sequence[str]) -> dict[tuple[str, ...], dict[str, str]]:
    """The rows by their keys, and by a running number where several have the same."""
    seen: Counter[tuple[str, ...]] = Counter()
    found = {}
    for row in table.rows:
        key = tuple(row.get(name, "") for name in keys)
        seen[key] += 1
        found[(*key, *([str(seen[key])] if seen[key] > 1 else []))] = row
    return found


def _name(key: tuple[str, ...], keys: Sequence[str]) -> str:
    named = [f"{name} {value or 'none'}" for name, value in zip(keys, key, strict=False)]
    return ", ".join([*named, *(f"number {number}" for number in key[len(keys) :])]) or "1"


def _shown(cell: str) -> str:
    return cell or "nothing"


def _lines_that_differ(path: Path, made: str) -> Iterator[str]:
    if not path.is_file():
        yield "the file is missing"
        return
    there, should = path.read_text(errors="replace").splitlines(), made.splitlines()
    for number, (old, new) in enumerate(zip(there, should, strict=False), 1):
        if old != new:
            yield f"line {number}: there is {_shown(old.strip())}, should be {_shown(new.strip())}"
    if len(there) != len(should):
        yield f"there are {len(there)} lines, should be {len(should)}"


def _hints(about: Mapping[str, Any], results: Results) -> Iterator[str]:
    """What is otherwise than when the tables were written."""
    from horovod_lb import __version__
    from horovod_lb.analysis.provenance import digest_of, newest_result

    if about.get("horovod_lb") != __version__:
        yield f"The tables were written by horovod_lb {about.get('horovod_lb')}; this is {__version__}."
    now = dict(Counter(record.state.value for record in results.records))
    if now != about.get("runs"):
        yield f"There were {_states(about.get('runs') or {})}; now there are {_states(now)}."
    elif about.get("newest_result") != (newest := newest_result(results.records)):
        yield f"The newest result was of {about.get('newest_result')}; now it is of {newest}."
    digest = (about.get("study") or {}).get("sha256")
    if results.source.study_file and digest and digest != digest_of(results.source.study_file):
        yield f"{results.source.study_file} has changed since."


def _states(runs: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {state}" for state, count in sorted(runs.items())) or "no runs"
