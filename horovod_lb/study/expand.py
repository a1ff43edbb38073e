"""From a study to its runs: points of the axes, times seeds, each validated, resolved and named by its id."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from horovod_lb.data import describe
from horovod_lb.errors import DataError, RecipeError, StudyError
from horovod_lb.recipe import Resolved, resolve
from horovod_lb.recipe.normalization import check_normalization
from horovod_lb.study import measurements, networks
from horovod_lb.study.document import KeyPath
from horovod_lb.study.explain import problems, study_error
from horovod_lb.study.expression import Expression
from horovod_lb.study.identity import canonical, run_id
from horovod_lb.study.keys import pick, substitute
from horovod_lb.study.load import Study
from horovod_lb.study.model import LABEL, RUN_SECTIONS

SCHEMA = 1


@dataclass(frozen=True)
class RunSpec:
    """One run: `spec` is the content of its run.json, `point` the value of every axis."""

    run_id: str
    seed: int
    point: dict[str, Any]
    spec: dict[str, Any]
    resolved: Resolved

    def names(self) -> dict[str, Any]:
        """What an expression can ask about a run: study keys, derived columns, run_id, seed, study."""
        label = {LABEL: self.point[LABEL]} if LABEL in self.point else {}
        return {**self.spec["derived"], **self.spec, **label, "job": self.spec["job"]["path"]}


@dataclass(frozen=True)
class _Point:
    """Values of the axes, each with its place in the study file."""

    values: dict[str, Any]
    places: dict[str, KeyPath]


def expand(study: Study) -> list[RunSpec]:
    """The runs of a study in the order of its axes, seeds innermost.

    The points are the product of `axes`, joined with the rows of `zip`, and after them those of `points`.
    StudyError: a point that is not valid, no point left, two runs with one id.
    """
    runs: list[RunSpec] = []
    found: list[str] = []
    points = list(_points(study))
    axes = list(dict.fromkeys(key for point in points for key in point.values))
    axes.sort(key=lambda key: key != LABEL)
    for point in points:
        try:
            runs += _runs(study, point, axes)
        except StudyError as error:
            found += str(error).split("\n")
    if found:
        raise study_error(list(dict.fromkeys(found)), str(study.path))
    if not runs:
        raise StudyError(
            f"{study.where(('exclude',))}: exclude: leaves no run, all {len(points)} points are excluded"
        )
    _check_unique(study, runs)
    return runs


def count(study: Study) -> int:
    """How many runs a study has, without working them out: for lists. StudyError: a section is not valid."""
    return sum(len(_seeds(study, _asked(point, _sections(study, point)[0]))) for point in _points(study))


def select(runs: list[RunSpec], where: str | None) -> list[RunSpec]:
    """The runs for which the expression `where` holds; all if there is none. StudyError as `Expression`."""
    if where is None:
        return runs
    condition = Expression(where)
    return [run for run in runs if condition(run.names())]


def baseline_runs(study: Study, runs: list[RunSpec]) -> list[RunSpec]:
    """The runs at the study's `baseline`, with which the others are compared."""

    def has(run: RunSpec, key: str, wanted: Any) -> bool:
        if key in run.point:
            return bool(run.point[key] == axis_value(wanted))
        return bool(canonical(pick(run.names(), key.split("."))) == canonical(wanted))

    return [run for run in runs if all(has(run, key, value) for key, value in study.baseline.items())]


def _points(study: Study) -> Iterator[_Point]:
    settings = study.settings
    rows = [
        [_Point({key: value}, {key: ("axes", key, index)}) for index, value in enumerate(values)]
        for key, values in settings.axes.items()
    ]
    if settings.zip:
        length = len(next(iter(settings.zip.values())))
        rows.append(
            [
                _Point(
                    {key: values[index] for key, values in settings.zip.items()},
                    {key: ("zip", key, index) for key in settings.zip},
                )
                for index in range(length)
            ]
        )
    if rows or not settings.points:
        for combination in itertools.product(*rows):
            yield _Point(
                {key: value for part in combination for key, value in part.values.items()},
                {key: path for part in combination for key, path in part.places.items()},
            )
    for index, values in enumerate(settings.points):
        yield _Point(values, {key: ("points", index, key) for key in values})


def _runs(study: Study, point: _Point, axes: list[str]) -> Iterator[RunSpec]:
    """The runs of one point, one for each seed that `exclude` leaves."""
    settings = study.settings
    sections, identity = _sections(study, point)
    asked = _asked(point, sections)
    seeds = _seeds(study, asked)
    if not seeds:
        return
    resolved = _resolve(study, point, sections)
    recipe = {**sections["recipe"], "groups": resolved.batch.groups}
    identity["recipe"]["groups"] = resolved.batch.groups
    complete = {**asked, "recipe": recipe}
    values = {key: axis_value(_written(point, key, pick(complete, key.split(".")))) for key in axes}
    # Where and how a run is computed is not what it computes, unless the study asks just that.
    identity["axes"] = {
        key: value for key, value in values.items() if key.startswith(("resources.", "recipe.communication"))
    }
    identity["recipe"].pop("communication", None)
    identity.pop("resources")
    derived, measure = resolved.columns(), measurements.identity(settings.measure)
    for seed in seeds:
        identifier = run_id(
            {"schema": SCHEMA, "job": settings.job, "measure": measure, "seed": seed, **identity}
        )
        spec = {
            "schema": SCHEMA,
            "run_id": identifier,
            "study": settings.name,
            "point": values,
            "job": {"path": str(study.job_path), "name": settings.job, "sha256": study.job_sha256},
            "model": sections["model"],
            "data": sections["data"],
            "resources": sections["resources"],
            "recipe": recipe,
            "measure": [one.model_dump() for one in settings.measure],
            "checkpoint": settings.checkpoint.model_dump(),
            "seed": seed,
            "derived": derived,
        }
        yield RunSpec(identifier, seed, values, spec, resolved)


def _asked(point: _Point, sections: Mapping[str, Any]) -> dict[str, Any]:
    return {**sections, LABEL: point.values.get(LABEL)}


def _seeds(study: Study, asked: Mapping[str, Any]) -> list[int]:
    """The seeds that `exclude` leaves a point whose sections and label are `asked`."""
    seeds = study.settings.seeds
    by_seed = [excluded for excluded in study.excludes if "seed" in excluded.names]
    first = {**asked, "seed": seeds[0]}
    if any(excluded(first) for excluded in study.excludes if excluded not in by_seed):
        return []
    return [seed for seed in seeds if not any(excluded({**asked, "seed": seed}) for excluded in by_seed)]


def _sections(study: Study, point: _Point) -> tuple[dict[str, Any], dict[str, Any]]:
    """The sections of a point, complete, and without what is as by default, for the id.

    Defaults are left out of the id so that a new key with a default does not rename the runs there are.
    """
    sections: dict[str, Any] = {}
    identity: dict[str, Any] = {}
    found: list[str] = []
    changed = {key.partition(".")[0] for key in point.values}
    for name, kind in RUN_SECTIONS.items():
        section = getattr(study.settings, name)
        if name in changed:
            try:
                section = kind.validate_python(_changed(study, point, name))
            except ValidationError as error:
                found += problems(error, (name,), lambda path: _where(study, point, path))
                continue
        sections[name] = section.model_dump()
        identity[name] = section.model_dump(exclude_defaults=True)
    if found:
        raise StudyError("\n".join(found))
    identity["data"].pop("root", None)
    return sections, identity


def _changed(study: Study, point: _Point, name: str) -> dict[str, Any]:
    data: dict[str, Any] = study.data.get(name) or {}
    for key, value in point.values.items():
        head, *path = key.split(".")
        if head == name:
            try:
                data = substitute(data, path, value)
            except TypeError as error:
                raise StudyError(
                    f"{study.where(point.places[key])}: {key}: {error} has no keys below it"
                ) from None
    return data


def _resolve(study: Study, point: _Point, sections: Mapping[str, Any]) -> Resolved:
    try:
        examples = describe(sections["data"]).train_examples
        resolved = resolve(sections["recipe"], examples=examples, workers=sections["resources"]["workers"])
        measurements.require(study.settings.measure, sections["recipe"], resolved.batch.groups)
        networks.check_words(sections["model"])
        measured = {one.kind for one in study.settings.measure}
        check_normalization(sections["model"], sections["recipe"], resolved.batch, measured)
        return resolved
    except (RecipeError, DataError) as error:
        named = str(error).partition(":")[0]
        data = named if named.startswith("data.") else "data"
        key = error.key if isinstance(error, RecipeError) else data
        place = _where(study, point, tuple((key or "recipe").split(".")))
        raise StudyError(f"{place}: {error}") from None


def _where(study: Study, point: _Point, path: KeyPath) -> str:
    """The place of a key in a run: that of the axis which sets it, or else its own."""
    for length in range(len(path), 0, -1):
        key = ".".join(str(part) for part in path[:length])
        if key in point.places:
            return study.where(point.places[key])
    return study.where(path)


def _written(point: _Point, key: str, value: Any) -> Any:
    """`value` of an axis; a section as the point has it, without the defaults."""
    return point.values.get(key, value) if isinstance(value, Mapping) else value


def axis_value(value: Any) -> Any:
    """A value of an axis or the baseline as one cell of a table; options that are not set are left out."""
    if isinstance(value, Mapping):
        shown = {key: inner for key, inner in value.items() if inner is not None}
        return ", ".join(
            f"{key}=({axis_value(inner)})" if isinstance(inner, Mapping) else f"{key}={canonical(inner)}"
            for key, inner in shown.items()
        )
    if isinstance(value, list):
        return ", ".join(str(canonical(inner)) for inner in value)
    return canonical(value)


def _check_unique(study: Study, runs: list[RunSpec]) -> None:
    first: dict[str, RunSpec] = {}
    for run in runs:
        same = first.setdefault(run.run_id, run)
        if same is not run:
            raise StudyError(
                f"{study.path}: two runs have the id {run.run_id}, they would train the same: "
                f"{_named(same)} and {_named(run)}; remove one of them"
            )


def _named(run: RunSpec) -> str:
    return ", ".join(f"{key}={value}" for key, value in {**run.point, "seed": run.seed}.items())
