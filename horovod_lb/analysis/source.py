"""Which runs to collect: those that a study plans, or those that lie in a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from horovod_lb.analysis.code import Code
from horovod_lb.analysis.record import Parse, Record, planned, read
from horovod_lb.analysis.rows import parse as parse_rows
from horovod_lb.analysis.table import cell
from horovod_lb.errors import RequestError
from horovod_lb.runs import RunDirectory, run_directories, runs_root
from horovod_lb.runs.atomic import read_json

Watch: TypeAlias = Callable[[Sequence[RunDirectory]], Iterable[RunDirectory]]
Parser: TypeAlias = Callable[[str], Parse]


@dataclass(frozen=True)
class Source:
    """Runs under a name.

    `folders` are where they were looked for, `tuned` the axes whose best value counts (None: see
    `best.best_table`), `figures` those the study asks for (none: the
    usual ones), `published` the published results that stand beside its own, `target` the value of a column
    of `epochs.csv` that counts as reached, `codes` what the marks in the column `code` stand for, `asked`
    what `collect` was called with, `notes` sentences on what was left out and why.
    """

    name: str
    records: tuple[Record, ...]
    folders: tuple[Path, ...]
    study_file: Path | None = None
    baseline: Mapping[str, Any] = field(default_factory=dict)
    tuned: tuple[str, ...] | None = None
    figures: tuple[str, ...] = ()
    published: str | None = None
    target: Mapping[str, float] = field(default_factory=dict)
    codes: Mapping[str, Code] = field(default_factory=dict)
    asked: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        """The name as part of a path."""
        return file_name(self.name)


def file_name(name: str) -> str:
    """A study's name as part of a path: a script may have named it as it liked."""
    return name if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name) else "runs"


def _reading_all(name: str) -> Parse:
    return parse_rows


def gather(
    target: str | Path,
    roots: Sequence[Path] = (),
    overrides: Sequence[str] = (),
    watch: Watch = iter,
    parser: Parser = _reading_all,
) -> Source:
    """The runs of `target`: a study file, a folder of run folders, or the name of a study under the runs
    folders.

    `roots` are the runs folders (default `$HLB_RUNS`, else `runs`), `overrides` changes to the study file as
    in `load_study`; `watch` wraps the list of run folders while they are read, to show how far it is;
    `parser` gives what reads their rows, by the name of the results. Raises `RequestError` where there is no
    such thing.
    """
    path = Path(target)
    if path.suffix in (".yaml", ".yml"):
        return _from_study(path, roots or [runs_root()], overrides, watch, parser)
    if overrides:
        raise RequestError(f"--set changes a study file; {target} is none")
    if path.is_dir():
        if roots:
            raise RequestError(f"--runs goes with a study; {path} is a folder and read as it is")
        return _from_folders(path.resolve().name, [path], watch, parser)
    folders = [root / path for root in roots or [runs_root()]]
    if path.name != str(target) or not any(folder.is_dir() for folder in folders):
        raise RequestError(
            f"{target} is neither a study file (.yaml), nor a folder, nor a study under "
            f"{', '.join(str(folder.parent) for folder in folders)}"
        )
    return _from_folders(path.name, folders, watch, parser)


def _from_study(
    path: Path, roots: Sequence[Path], overrides: Sequence[str], watch: Watch, parser: Parser
) -> Source:
    from horovod_lb.study import axis_value, expand, load_study

    study = load_study(path, overrides)
    specs = expand(study)
    folders = [root / study.name for root in roots]
    found, notes = _read_all(folders, watch, parser(study.name), {spec.run_id: spec.spec for spec in specs})
    records = [
        found.pop(spec.run_id) if spec.run_id in found else planned(spec.run_id, spec.spec) for spec in specs
    ]
    if found:
        notes.append(
            f"{_count(len(found), 'run folder')} in {folders[0]} belong to no point of {path.name} as it "
            "is now and are left out; collect the folder itself to have them"
        )
    # Points have the values of axes as text where these are sections or lists.
    axes, baseline = specs[0].point, study.settings.baseline
    return Source(
        name=study.name,
        records=tuple(records),
        folders=tuple(folders),
        study_file=path,
        baseline={key: axis_value(value) if key in axes else value for key, value in baseline.items()},
        tuned=None if study.settings.tuned is None else tuple(study.settings.tuned),
        figures=tuple(study.settings.report.figures),
        published=study.settings.report.published,
        target=study.settings.target,
        notes=tuple(notes),
    )


def _from_folders(name: str, folders: Sequence[Path], watch: Watch, parser: Parser) -> Source:
    found, notes = _read_all(folders, watch, parser(file_name(_study_of(folders) or name)))
    if not found:
        inner = sorted({entry.name for folder in folders for entry in _subfolders(folder)})
        studies = [
            entry for entry in inner if any(any(run_directories(folder / entry)) for folder in folders)
        ]
        hint = f"; it holds the studies {', '.join(studies)}: collect one of these" if studies else ""
        raise RequestError(f"{folders[0]} holds no run folders (folders with a run.json){hint}")
    names = sorted({record.study for record in found.values() if record.study})
    if len(names) > 1:
        notes.append(f"the runs are of {len(names)} studies: {', '.join(names)}")
    return Source(
        names[0] if len(names) == 1 else name, tuple(found.values()), tuple(folders), notes=tuple(notes)
    )


def _study_of(folders: Iterable[Path]) -> str | None:
    """The study that the first run of the folders belongs to."""
    first = next((run for folder in folders for run in run_directories(folder)), None)
    return str((read_json(first.run_json) or {}).get("study") or "") if first else None


def _read_all(
    folders: Iterable[Path],
    watch: Watch,
    parse: Parse,
    planned: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[dict[str, Record], list[str]]:
    """The runs by id; where two folders hold the same run, the one that got further.

    `planned` are the specifications that a study has for its ids: they stand in for a damaged `run.json`.
    """
    found: dict[str, Record] = {}
    doubles: list[str] = []
    for run in watch([run for folder in folders for run in run_directories(folder)]):
        record = read(run, parse, (planned or {}).get(run.path.name))
        # A study's ids tell what was run; a script's name folders as they like.
        key = record.run_id if "job" in record.spec or not record.spec else record.run_id + cell(record.spec)
        if key in found:
            doubles.append(key)
            if _progress(record) <= _progress(found[key]):
                continue
        found[key] = record
    notes = []
    if doubles:
        notes.append(
            f"{_count(len(doubles), 'run')} lie in more than one place; the one that got further counts"
        )
    return found, notes


def _progress(record: Record) -> tuple[bool, int]:
    return record.state.has_result, len(record.epochs)


def _subfolders(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
