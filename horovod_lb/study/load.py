"""Reading a study: the file, the changes from the command line, the environment, the job script."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from horovod_lb.errors import StudyError
from horovod_lb.study.document import Document, KeyPath, dotted
from horovod_lb.study.explain import problems, study_error, unknown_key
from horovod_lb.study.expression import Expression
from horovod_lb.study.keys import known_keys, pick, substitute
from horovod_lb.study.model import LABEL, RUN_SECTIONS, Report, StudyFile, Variation
from horovod_lb.study.shipped import SHIPPED_JOBS

_VARIABLE = re.compile(r"\$\{(\w+)\}")
# Sections whose keys are themselves dotted study keys.
_KEYED = ("axes", "zip", "baseline", "target")
Where = Callable[[KeyPath], str]


@dataclass(frozen=True)
class Study:
    """A valid study file: `settings` with every default filled in, `data` as it was written.

    `where` gives the place of a key: "file:line", or the option of the command line that set it.
    """

    path: Path
    settings: StudyFile
    data: Mapping[str, Any]
    job_path: Path
    job_sha256: str
    excludes: tuple[Expression, ...]
    where: Where

    @property
    def name(self) -> str:
        """The study's name; its runs are in a directory of this name."""
        return self.settings.name

    @property
    def baseline(self) -> Mapping[str, Any]:
        """The axis values of the runs that the others are compared with."""
        return self.settings.baseline

    @property
    def report(self) -> Report:
        """What `hlb report` draws."""
        return self.settings.report


def load_study(path: str | Path, overrides: Iterable[str] = ()) -> Study:
    """The study in the file `path`, changed by `overrides` such as "recipe.epochs=3".

    StudyError: whatever is wrong with the file, a key, a value, an axis or the job script, several together,
    each with its place, what was found and what is allowed.
    """
    path = Path(path)
    document = Document.read(path)
    if document.data is None:
        raise StudyError(f"{path}: the file is empty; `hlb new` lists studies to begin with")
    if not isinstance(document.data, dict):
        raise StudyError(f"{path}:1: a study is a mapping, `key: value` in each line")
    data, origins = _override(document.data, overrides)

    def where(key: KeyPath) -> str:
        for length in range(len(key), 0, -1):
            if key[:length] in origins:
                return origins[key[:length]]
        return document.where(key)

    data = _expand_root(data, where)
    try:
        settings = StudyFile.model_validate(_with_axes(data))
    except ValidationError as error:
        raise study_error(problems(error, (), where), str(path)) from None
    excludes, found = _check_variation(settings, where)
    if found:
        raise study_error(found, str(path))
    job = find_job(settings.job, path, where(("job",)))
    try:
        digest = hashlib.sha256(job.read_bytes()).hexdigest()
    except OSError as error:
        raise StudyError(f"{where(('job',))}: job: {job} cannot be read: {error.strerror}") from None
    return Study(path, settings, data, job, digest, excludes, where)


def find_job(job: str, study: Path, where: str) -> Path:
    """The absolute path of a study's job script. StudyError: there is no such file.

    A relative path is looked for from the study file's own directory, then from its project root (the nearest
    directory above it with .git, pyproject.toml or setup.cfg), then from the current directory, and last
    among the scripts that come with the package.
    """
    folder = study.resolve().parent
    marks = (".git", "pyproject.toml", "setup.cfg")
    root = [above for above in folder.parents if any((above / mark).exists() for mark in marks)][:1]
    places = list(dict.fromkeys((folder, *root, Path.cwd(), SHIPPED_JOBS.parent)))
    for place in places:
        if (place / job).is_file():
            return (place / job).resolve()
    looked = ", ".join(str(place) for place in places)
    raise StudyError(f"{where}: job: there is no script {job}; looked from {looked}")


def split_key(key: str) -> KeyPath:
    """The path of a dotted key; under axes and the like the rest is one key."""
    head, _, rest = key.partition(".")
    return (head, rest) if head in _KEYED and rest else tuple(key.split("."))


def _override(data: dict[str, Any], overrides: Iterable[str]) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    origins: dict[KeyPath, str] = {}
    for override in overrides:
        source = f"--set {override}"
        key, equals, text = override.partition("=")
        path = split_key(key.strip())
        if not equals or not all(path):
            raise StudyError(f"{source}: KEY=VALUE is needed, as in recipe.epochs=3")
        if any(isinstance(data.get(section), dict) and key in data[section] for section in ("axes", "zip")):
            raise StudyError(
                f"{source}: {key} is an axis of the study, which sets it in every run; change the axis, "
                f"as in --set 'axes.{key}=[{text}]', or choose runs with --where"
            )
        try:
            value = Document(text, source).data
        except StudyError as error:
            raise StudyError(re.sub(rf"^{re.escape(source)}:\d+", source, str(error))) from None
        try:
            data = substitute(data, [str(part) for part in path], value)
        except TypeError as error:
            raise StudyError(f"{source}: {error} in the study file has no keys below it") from None
        origins[path] = source
    return data, origins


def _expand_root(data: dict[str, Any], where: Where) -> dict[str, Any]:
    """`${NAME}` in data.root from the environment, the only place where it means something."""
    root = pick(data, ("data", "root"))
    if not isinstance(root, str):
        return data
    place = where(("data", "root"))

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise StudyError(
                f"{place}: data.root: the environment variable {name} is not set; export {name}=DIRECTORY "
                "or write the directory itself"
            )
        return os.environ[name]

    return substitute(data, ("data", "root"), _VARIABLE.sub(value, root))


def _with_axes(data: dict[str, Any]) -> dict[str, Any]:
    """`data` with the first value of an axis for a key that only the axis gives: it is not missing."""
    try:
        given = {name: data[name] for name in Variation.model_fields if name in data}
        variation = Variation.model_validate(given)
    except ValidationError:
        return data
    first = {key: values[0] for axes in (variation.axes, variation.zip) for key, values in axes.items()}
    for key, value in {**(variation.points[0] if variation.points else {}), **first}.items():
        path = key.split(".")
        if key in known_keys() and path[0] in RUN_SECTIONS and pick(data, path) is None:
            try:
                data = substitute(data, path, value)
            except TypeError:
                continue
    return data


def _check_variation(settings: StudyFile, where: Where) -> tuple[tuple[Expression, ...], list[str]]:
    """The compiled `exclude` expressions, and what is wrong with axes, zip, points, baseline and seeds."""
    found = []
    keyed: list[KeyPath] = [
        (name, key) for name in ("axes", "zip", "baseline") for key in getattr(settings, name)
    ]
    keyed += [("points", index, key) for index, point in enumerate(settings.points) for key in point]
    for path in keyed:
        key = str(path[-1])
        if key == LABEL:
            found += _check_label(settings, path, where)
        elif key not in known_keys():
            found.append(f"{where(path)}: {dotted(path[:-1])}: {key}: {unknown_key(key)}")
        elif key.partition(".")[0] not in RUN_SECTIONS or key in RUN_SECTIONS:
            found.append(
                f"{where(path)}: {dotted(path[:-1])}: {key} cannot differ between runs; keys of "
                f"{', '.join(RUN_SECTIONS)} can"
            )
    for key in settings.zip:
        if key in settings.axes:
            found.append(f"{where(('zip', key))}: zip: {key} is already in axes; keep one of them")
    lengths = {key: len(values) for key, values in settings.zip.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        found.append(f"{where(('zip',))}: zip: its lists must be equally long; {listed}")
    varied = dict.fromkeys([*settings.axes, *settings.zip, *(key for one in settings.points for key in one)])
    for index, key in enumerate(settings.tuned or ()):
        if key not in varied:
            known = f"the axes are {', '.join(varied)}" if varied else "there are no axes"
            found.append(f"{where(('tuned', index))}: tuned: {key} is not an axis; {known}")
    excludes = []
    for index, text in enumerate(settings.exclude):
        try:
            excludes.append(Expression(text, f"{where(('exclude', index))}: exclude[{index}]"))
        except StudyError as error:
            found.append(str(error))
    return tuple(excludes), found


def _check_label(settings: StudyFile, path: KeyPath, where: Where) -> list[str]:
    """What is wrong with the names of points at `path`."""
    given: Any = getattr(settings, str(path[0]))
    for part in path[1:]:
        given = given[part]
    names = given if path[0] in ("axes", "zip") else [given]
    wrong = [name for name in names if not isinstance(name, str) or not name.strip()]
    return [f"{where(path)}: {dotted(path)}: a name is text; found {name!r}" for name in wrong]
