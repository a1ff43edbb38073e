"""bsub's dependency conditions: `-w "ended(12) && !exit(13[2])"`."""

from __future__ import annotations

import re
from typing import Any

_TOKEN = re.compile(r"\s*(&&|\|\||!|\(|\)|[A-Za-z]+\([^()]*\)|[A-Za-z0-9_.\[\]\"'-]+)")
_FUNCTION = re.compile(r"(done|ended|exit|started)\(\s*[\"']?(\d+)(?:\[(\d+)\])?[\"']?\s*\)")
_BARE = re.compile(r"[\"']?(\d+)(?:\[(\d+)\])?[\"']?")


class ConditionError(ValueError):
    """Not LSF's grammar."""


def parse(text: str) -> Any:
    """The condition as nested lists, see `rehearsal.dependency`; a bare id means `done`.

    Names of jobs instead of ids are not played. Raises ConditionError.
    """
    tokens, position = [], 0
    while text[position:].strip():
        found = _TOKEN.match(text, position)
        if found is None:
            raise ConditionError(text)
        tokens.append(found[1])
        position = found.end()
    condition, rest = _either(tokens, text)
    if rest:
        raise ConditionError(text)
    return condition


def _either(tokens: list[str], text: str) -> tuple[Any, list[str]]:
    left, rest = _both(tokens, text)
    while rest[:1] == ["||"]:
        right, rest = _both(rest[1:], text)
        left = ["or", left, right]
    return left, rest


def _both(tokens: list[str], text: str) -> tuple[Any, list[str]]:
    left, rest = _one(tokens, text)
    while rest[:1] == ["&&"]:
        right, rest = _one(rest[1:], text)
        left = ["and", left, right]
    return left, rest


def _one(tokens: list[str], text: str) -> tuple[Any, list[str]]:
    if not tokens:
        raise ConditionError(text)
    head, *rest = tokens
    if head == "!":
        inner, rest = _one(rest, text)
        return ["not", inner], rest
    if head == "(":
        inner, rest = _either(rest, text)
        if rest[:1] != [")"]:
            raise ConditionError(text)
        return inner, rest[1:]
    found = _FUNCTION.fullmatch(head)
    kind = found[1] if found else "done"
    found_id = (found[2], found[3]) if found else _bare(head, text)
    return [kind, int(found_id[0]), int(found_id[1]) if found_id[1] else None], rest


def _bare(token: str, text: str) -> tuple[str, str | None]:
    found = _BARE.fullmatch(token)
    if found is None:
        raise ConditionError(text)
    return found[1], found[2]
