"""Which keys a study file may have, and ways along them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

from horovod_lb.study.document import KeyPath
from horovod_lb.study.model import StudyFile


def place(location: Iterable[Any]) -> tuple[KeyPath, tuple[str, ...]]:
    """The key that a pydantic error location means, and the keys there are beside it.

    Pydantic puts the `kind` of an optimizer, a schedule or a measurement and the `name` of a data set into
    the location, where the file has no key.
    """
    path: list[Any] = []
    variants: list[type[BaseModel]] = [StudyFile]
    siblings: tuple[str, ...] = ()
    for part in location:
        kinds = {kind: model for model in variants for kind in _kinds(model)}
        if len(variants) > 1 and part in kinds:
            variants = [kinds[part]]
            continue
        path.append(part)
        if isinstance(part, str):
            fields = {name: field for model in variants for name, field in model.model_fields.items()}
            siblings = tuple(fields)
            variants = _members(fields[part].annotation) if part in fields else []
    return tuple(path), siblings


@cache
def known_keys() -> tuple[str, ...]:
    """Every dotted key of a study file, sections before what is in them."""
    return tuple(_below(StudyFile, ""))


def pick(data: Any, path: Iterable[Any]) -> Any:
    """The value at a path in nested mappings; None where there is none."""
    for part in path:
        if not isinstance(data, Mapping) or part not in data:
            return None
        data = data[part]
    return data


def substitute(data: Mapping[str, Any], path: Iterable[str], value: Any) -> dict[str, Any]:
    """`data` with another value at `path`, sharing the rest. TypeError: no mapping on the way to it."""
    head, *rest = path
    if rest:
        inner = data.get(head)
        if inner is not None and not isinstance(inner, Mapping):
            raise TypeError(head)
        value = substitute(inner or {}, rest, value)
    return {**data, head: value}


def _below(model: type[BaseModel], before: str) -> Iterable[str]:
    for name, field in model.model_fields.items():
        key = f"{before}{name}"
        yield key
        yield from dict.fromkeys(
            inner for variant in _models(field.annotation) for inner in _below(variant, f"{key}.")
        )


def _models(annotation: Any) -> list[type[BaseModel]]:
    candidates = (annotation, *get_args(annotation))
    return [part for part in candidates if isinstance(part, type) and issubclass(part, BaseModel)]


def _members(annotation: Any) -> list[type[BaseModel]]:
    """The models in an annotation, those of a list's members included."""
    return _models(annotation) or [model for part in get_args(annotation) for model in _members(part)]


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    fields = [model.model_fields[key] for key in ("kind", "name") if key in model.model_fields]
    return tuple(kind for field in fields for kind in get_args(field.annotation))
