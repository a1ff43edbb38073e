"""Where results come from: which code on which machines, and the digests of the tables."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from horovod_lb import __version__
from horovod_lb.analysis.code import states
from horovod_lb.analysis.record import Record
from horovod_lb.analysis.source import Source
from horovod_lb.analysis.table import cell

_SHOWN = 10
# Job ids, hosts and the like differ between any two lives; they stand in the run's own provenance.json.
_OF_ONE_LIFE = ("batch.", "environment.", "hosts")


def provenance(source: Source, records: Sequence[Record], digests: Mapping[str, str]) -> dict[str, Any]:
    """The content of `provenance.json`; it holds no time of its own, so that the same runs give the same
    file.
    """
    study: dict[str, Any] = {"name": source.name}
    if source.study_file:
        study["file"] = source.study_file.name
        study["sha256"] = digest_of(source.study_file)
    study |= {
        "baseline": dict(source.baseline),
        "tuned": None if source.tuned is None else list(source.tuned),
        "target": dict(source.target),
        "figures": list(source.figures),
        "published": source.published,
    }
    same, different = compare(records)
    return {
        "schema": 1,
        "horovod_lb": __version__,
        "study": study,
        "asked": dict(source.asked),
        "run_folders": [str(folder) for folder in source.folders],
        "runs": dict(sorted(Counter(record.state.value for record in records).items())),
        "newest_result": newest_result(records),
        "same_in_all_runs": same,
        "different": different,
        "code": {
            mark: {**source.codes[mark].about(), "runs": len(runs)}
            for mark, runs in states(records).items()
            if mark in source.codes
        },
        "tables_sha256": dict(digests),
    }


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def compare(records: Sequence[Record]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What all lives of all runs said alike (key -> value), and what differed (key -> its number of values
    and some).
    """
    values: dict[str, dict[str, Any]] = {}
    lives = [
        {key: value for key, value in flat(life) if not of_one_life(key)}
        for record in records
        for life in record.lives
        if life
    ]
    for life in lives:
        for key, value in life.items():
            values.setdefault(key, {})[cell(value)] = value
    everywhere = {key for key in values if all(key in life for life in lives)}
    same = {
        key: next(iter(values[key].values()))
        for key in sorted(values)
        if key in everywhere and len(values[key]) == 1
    }
    different = {
        key: {"distinct": len(found), "values": [found[text] for text in sorted(found)][:_SHOWN]}
        for key, found in sorted(values.items())
        if key not in same
    }
    return same, different


def of_one_life(key: str) -> bool:
    """Whether lives differ in this key whatever they ran with."""
    return key == "time" or key.startswith(_OF_ONE_LIFE)


def newest_result(records: Sequence[Record]) -> str | None:
    """When the last of the finished runs ended, UTC; None when none has."""
    times = [record.exit["time"] for record in records if record.exit.get("time") is not None]
    if not times:
        return None
    return datetime.fromtimestamp(max(times), timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def flat(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The entries of nested mappings under dotted keys."""
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
