"""Validation errors as sentences: place, key, what was found, what is allowed, what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from horovod_lb.errors import StudyError
from horovod_lb.study.document import KeyPath, dotted
from horovod_lb.study.keys import known_keys, place
from horovod_lb.study.nearest import nearest

MAX_SHOWN = 20
NEEDED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "list_type": "a list [...]",
    "too_short": "at least one value",
    "dict_type": "a mapping {{key: value}}",
    "model_type": "a mapping {{key: value}}",
    "model_attributes_type": "a mapping {{key: value}}",
    "greater_than": "a number > {gt:g}",
    "greater_than_equal": "a number >= {ge:g}",
    "less_than": "a number < {lt:g}",
    "less_than_equal": "a number <= {le:g}",
}
_PATTERNS = {
    "name": "lower-case letters, digits and -, beginning with a letter or digit, at most 64 of them",
    "model.name": "letters, digits, _ and -",
}


def problems(error: ValidationError, before: KeyPath, where: Callable[[KeyPath], str]) -> list[str]:
    """One sentence for each thing that is wrong, in the order of the keys.

    `before` is the path of what was validated within the study file; `where` gives the place of a path.
    """
    found = []
    for detail in error.errors(include_url=False):
        path, siblings = place((*before, *detail["loc"]))
        if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
            path = (*path, detail["ctx"]["discriminator"].strip("'"))
        found.append(f"{where(path)}: {dotted(path)}: {_sentence(detail, path, siblings)}")
    return list(dict.fromkeys(found))


def study_error(found: list[str], source: str) -> StudyError:
    """All problems as one error."""
    if len(found) == 1:
        return StudyError(found[0])
    rest = f"\n  and {len(found) - MAX_SHOWN} more" if len(found) > MAX_SHOWN else ""
    return StudyError(f"{len(found)} errors in {source}\n  " + "\n  ".join(found[:MAX_SHOWN]) + rest)


def unknown_key(key: str, siblings: tuple[str, ...] = ()) -> str:
    """What to say about a key that there is not: the nearest one, or all that would do in its place."""
    section = key.rpartition(".")[0]
    beside = [f"{section}.{name}" if section else name for name in siblings]
    meant = nearest(key, beside) or nearest(key, known_keys())
    allowed = f"; allowed here: {', '.join(siblings)}" if siblings else ""
    hint = f"; did you mean {meant}?" if meant else ""
    return f"unknown key{allowed}{hint}"


def shown(value: Any) -> str:
    """A value as the study file would have it, cut short."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def choice(value: Any, expected: str) -> str:
    """What to say about a word that is none of pydantic's `expected`."""
    allowed = re.findall(r"'([^']*)'", expected) or re.findall(r"-?\d+", expected)
    meant = nearest(str(value), allowed)
    hint = f"; did you mean {meant}?" if meant else ""
    return f"found {shown(value)}; allowed: {', '.join(allowed)}{hint}"


def _sentence(detail: Any, path: KeyPath, siblings: tuple[str, ...]) -> str:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    key = dotted(path)
    if kind == "extra_forbidden":
        return unknown_key(key, siblings)
    if kind == "missing":
        return "missing; it must be given"
    if kind == "union_tag_not_found":
        return "missing; it must be given, for it decides which keys there are beside it"
    if kind in ("literal_error", "union_tag_invalid"):
        value = context.get("tag", value)
        return choice(value, context.get("expected") or context["expected_tags"])
    if kind == "string_pattern_mismatch":
        return f"found {shown(value)}; allowed are {_PATTERNS.get(key, 'lower-case letters, digits and _')}"
    if kind == "refused":
        return f"found {shown(value)}; {context['message']}"
    needed = NEEDED[kind].format(**context) if kind in NEEDED else detail["msg"]
    return f"found {shown(value)}; {needed} is needed"
