"""Which code trained which run: the states of the code that a study's runs come from, marked A, B, ...

A state is the commit, the version of horovod_lb, and the digest of what was changed in tracked files since
the commit (a `*` then stands behind the letter). Changes to documentation and study files do not count: what
a run takes from its study is in `run.json`. Where one job script was run with several contents, its digest
counts, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from horovod_lb.analysis.record import Record, shortened
from horovod_lb.errors import RequestError
from horovod_lb.runs.provenance import code_changes

VARIABLE = "HLB_ALLOW_DIRTY"
DIFF = "source.diff"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Code:
    """A state of the code; None for what is not known. `changes` is the digest of the changes to code since
    `commit` (`unknown` where they were not kept), `files` those changed, as far as they are known.
    """

    commit: str | None = None
    version: str | None = None
    job: str | None = None
    changes: str | None = None
    files: tuple[str, ...] = ()

    @property
    def dirty(self) -> bool:
        """Whether it was never committed."""
        return self.changes is not None

    def about(self) -> dict[str, Any]:
        """For `provenance.json`."""
        return {
            "commit": self.commit,
            "horovod_lb": self.version,
            "job_sha256": self.job,
            "changes_sha256": self.changes,
            "changed_files": list(self.files),
        }

    def __str__(self) -> str:
        name = f"commit {self.commit[:10]}" if self.commit else "no commit"
        version = f", horovod_lb {self.version}" if self.version and not self.commit else ""
        job = f", job script {self.job[:10]}" if self.job else ""
        changes = f" with changes in {shortened(self.files) or 'files not kept'}" if self.dirty else ""
        return f"{name}{version}{job}{changes}"


def marked(records: Sequence[Record]) -> tuple[list[Record], dict[str, Code]]:
    """The runs with their `code` (`A`, `B*`; `A+B*` where lives differ), and what the marks mean.

    Letters go by the time of the first life of each state.
    """
    lives = [list(_codes(record)) for record in records]
    contents: dict[Any, set[Any]] = {}
    for found in lives:
        for _, code, job in found:
            contents.setdefault(job, set()).add(code.job)
    told = [
        [(time, code if len(contents[job]) > 1 else replace(code, job=None)) for time, code, job in found]
        for found in lives
    ]
    first: dict[Code, float] = {}
    for life in told:
        for time, code in life:
            first[code] = min(time, first.get(code, time))
    legend = {
        f"{_letter(number)}{'*' if code.dirty else ''}": code
        for number, code in enumerate(sorted(first, key=first.__getitem__))
    }
    marks = {code: mark for mark, code in legend.items()}
    new = [
        replace(record, code="+".join(dict.fromkeys(marks[code] for _, code in found))) if found else record
        for record, found in zip(records, told, strict=True)
    ]
    return new, legend


def states(records: Iterable[Record]) -> dict[str, list[Record]]:
    """The runs by the mark of each state that had a part in them, in the order of the marks."""
    found: dict[str, list[Record]] = {}
    for record in records:
        for mark in (record.code or "").split("+"):
            if mark:
                found.setdefault(mark, []).append(record)
    return {mark: found[mark] for mark in sorted(found, key=lambda mark: (len(mark.rstrip("*")), mark))}


def require_one_dirty(records: Sequence[Record], legend: Mapping[str, Code]) -> None:
    """Raises `RequestError` where runs come from several states of the code, and not all were committed."""
    by_mark = states(records)
    dirty = [mark for mark in by_mark if mark.endswith("*")]
    if not dirty or len(by_mark) == 1:
        return
    lines = [
        f"  {mark}: {legend[mark]}: {shortened([run.run_id for run in runs])}"
        for mark, runs in by_mark.items()
        if mark in legend
    ]
    raise RequestError(
        f"the runs come from {len(by_mark)} states of the code, of which {' '.join(dirty)} "
        f"{'was' if len(dirty) == 1 else 'were'} never committed:\n"
        + "\n".join(lines)
        + f"\nKeep the runs of one with --where \"code == '{next(iter(by_mark))}'\", run the others again "
        "(`hlb clean` and `hlb run`), or mix them knowingly with --allow-dirty; runs.csv marks them"
    )


def sentence(records: Sequence[Record], legend: Mapping[str, Code]) -> str | None:
    """What the reader of a table must know of the code; None where all runs come from one clean state."""
    by_mark = states(records)
    if not by_mark or (len(by_mark) == 1 and not next(iter(by_mark)).endswith("*")):
        return None
    parts = [
        f"{mark} {legend[mark]} ({_runs(len(runs))})" if mark in legend else f"{mark} ({_runs(len(runs))})"
        for mark, runs in by_mark.items()
    ]
    if len(parts) == 1:
        return f"The code was changed and not committed: {parts[0]}."
    return f"The runs come from {len(parts)} states of the code (code in runs.csv): {'; '.join(parts)}."


def _codes(record: Record) -> Iterator[tuple[float, Code, Any]]:
    """Time, code and name of the job script of each life that said what it ran."""
    for number, life in enumerate(record.lives, 1):
        source, versions, job = (_mapping(life.get(name)) for name in ("source", "versions", "job"))
        commit, version = source.get("commit"), versions.get("horovod_lb")
        if not commit and not version:
            continue
        changes: str | None = None
        files: tuple[str, ...] = ()
        if source.get("dirty"):
            changes, files = _changes(record.directory, number, source)
        time = life.get("time")
        code = Code(_text(commit), _text(version), _text(job.get("sha256")), changes, files)
        yield float(time) if isinstance(time, int | float) else 0.0, code, _text(job.get("name"))


def _changes(run: Path | None, life: int, source: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...]]:
    """Digest and files of what a life had changed in the code since its commit; None where it was no code."""
    if "changes_sha256" in source:
        files = source.get("changed_files")
        return _text(source["changes_sha256"]), tuple(map(str, files)) if isinstance(files, list) else ()
    try:
        diff = (run / "segments" / str(life) / DIFF).read_bytes() if run else b""
    except OSError:
        diff = b""
    return _of_diff(diff) if diff else (UNKNOWN, ())


_of_diff = lru_cache(maxsize=64)(code_changes)


def _letter(number: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    letters = ""
    while number >= 0:
        number, rest = divmod(number, 26)
        letters = chr(ord("A") + rest) + letters
        number -= 1
    return letters


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _runs(number: int) -> str:
    return f"{number:,} run{'' if number == 1 else 's'}"
