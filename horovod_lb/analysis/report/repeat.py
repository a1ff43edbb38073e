"""How to repeat a study or one run of it: the code's state, versions, the study file and the commands."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from horovod_lb.analysis.record import Record
from horovod_lb.analysis.results import Results

_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_VERSION = re.compile(r"[\w.!+-]+")
# Words that YAML takes for words, whatever stands around them.
_PLAIN = re.compile(r"(?!(?:null|true|false|yes|no|on|off|y|n)$)[a-z][a-z_/.-]*", re.IGNORECASE)
# What a run's specification has of the sections of a study file.
_SECTIONS = ("model", "data", "resources", "recipe", "measure", "checkpoint")


class Repeat(NamedTuple):
    """`commands` for a shell, the `study` file that they speak of (None: there is none) and its `file` name,
    and the `constraints` for pip (empty: no run has told its versions).
    """

    commands: str
    study: str | None
    file: str
    constraints: str


def repeat_study(results: Results) -> Repeat:
    """How to run the whole study again, on the code and the versions that most runs had."""
    source = results.source
    file = f"{source.file_name}.yaml"
    commands = _code(results.records)
    text = source.study_file.read_text(encoding="utf-8") if source.study_file else None
    if text is None:
        commands.append("# There was no study file; each run's own view has one for that run alone.")
        return Repeat("\n".join(commands), None, file, constraints(results.records))
    shipped = _shipped_as(text)
    commands += [
        f"hlb new {shipped} --out {shlex.quote(file)}"
        if shipped
        else f"# save the study file below as {shlex.quote(file)}",
        f"hlb plan {shlex.quote(file)}",
        f"hlb run {shlex.quote(file)}",
        f"hlb report {shlex.quote(file)}",
    ]
    return Repeat("\n".join(commands), text, file, constraints(results.records))


def repeat_run(record: Record, results: Results) -> Repeat | None:
    """How to run one run again; None for a run of a script that knows nothing of studies.

    The study file is made of the run's own `run.json`. It gives the run the same id, unless it was one point
    among others that differ in ranks or communication, which count for the id only there.
    """
    study = study_of_run(record.spec)
    if study is None:
        return None
    file = f"{record.run_id}.yaml" if re.fullmatch(r"[\w-]+", record.run_id) else "run.yaml"
    commands = _code([record])
    if results.source.study_file:
        whole = shlex.quote(f"{results.source.file_name}.yaml")
        where = shlex.quote(f"run_id == '{record.run_id}'") if file != "run.yaml" else "..."
        commands += [f"hlb run {whole} --where {where}    # with the whole study's file, or alone:"]
    commands += [f"# save the study file below as {file}", f"hlb run {file}", f"hlb report {file}"]
    return Repeat("\n".join(commands), study, file, constraints([record]))


def study_of_run(spec: Mapping[str, Any]) -> str | None:
    """A study file with this run alone; None where `spec` is not that of a study's run."""
    job = spec.get("job")
    if not isinstance(job, Mapping) or not all(isinstance(spec.get(name), Mapping) for name in _SECTIONS[:4]):
        return None
    data = {name: value for name, value in spec["data"].items() if value is not None and name != "root"}
    whole = {
        "name": spec.get("study"),
        "job": job.get("name") or job.get("path"),
        **{name: spec[name] for name in _SECTIONS if name in spec},
        "data": data,
        "seeds": [spec.get("seed") or 0],
    }
    return "".join(_lines(whole))


def _lines(section: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """A study file's lines: a section's keys below it, what is below these in braces."""
    for key, value in section.items():
        if isinstance(value, Mapping) and value and not indent:
            yield f"{key}:\n"
            yield from _lines(value, "  ")
        else:
            yield f"{indent}{key}: {_flow(value)}\n"


def _flow(value: Any) -> str:
    """A value as YAML in one line. PyYAML's own writer takes 20 times as long."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_flow(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, float) and value == value and "." not in repr(value):
        return repr(value).replace("e", ".0e")  # to YAML 1e-05 is a word
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return json.dumps(value)


def constraints(records: Iterable[Record]) -> str:
    """The versions of most lives as a constraint file for pip, a package a line; others as a comment."""
    versions: dict[str, Counter[str]] = {}
    for record in records:
        for name, version in _versions(record).items():
            versions.setdefault(name, Counter())[version] += 1
    lines = []
    for name, found in sorted(versions.items()):
        if name == "horovod_lb":
            continue
        (version, _), *others = found.most_common()
        also = f"  # some runs: {', '.join(other for other, _ in others)}" if others else ""
        lines.append(f"{name}=={version}{also}")
    return "\n".join(lines)


def _versions(record: Record) -> dict[str, str]:
    found = record.provenance.get("versions")
    entries = found.items() if isinstance(found, Mapping) else ()
    return {
        name: version
        for name, version in entries
        if isinstance(version, str) and _VERSION.fullmatch(version) and re.fullmatch(r"[\w.-]+", str(name))
    }


def _code(records: Sequence[Record]) -> list[str]:
    """Lines that bring the code's state about; what a run folder says gets into a command only where it is a
    commit.
    """
    commits: Counter[str] = Counter()
    dirty: set[str] = set()
    for record in records:
        source = record.provenance.get("source")
        source = source if isinstance(source, Mapping) else {}
        commit = source.get("commit")
        if isinstance(commit, str) and _COMMIT.fullmatch(commit):
            commits[commit] += 1
            dirty |= {commit} if source.get("dirty") else set()
    lines = []
    if commits:
        (commit, count), *others = commits.most_common()
        lines.append(f"git checkout {commit}")
        if others:
            lines[-1] += f"    # of {count:,} runs; others: {', '.join(other[:12] for other, _ in others)}"
        if commit in dirty:
            lines.append(
                "# files were changed since: segments/<n>/source.diff of a run has the changes (git apply)"
            )
    lines.append("make setup && source .venv/bin/activate")
    if any(map(_versions, records)):
        lines.append(
            "pip install --constraint constraints.txt --editable '.[train-cpu]'    # the versions below"
        )
    return lines


def _shipped_as(text: str) -> str | None:
    """What to ask `hlb new` for, to have this very study file."""
    from horovod_lb.study.shipped import miniatures, shipped_studies

    for studies, option in ((shipped_studies(), ""), (miniatures(), " --miniature")):
        for name, path in studies.items():
            if path.read_text(encoding="utf-8") == text:
                return name + option
    return None
