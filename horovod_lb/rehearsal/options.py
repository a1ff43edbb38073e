"""Strict command lines: every option is known and has a value of its kind, or the command is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple


class OptionError(Exception):
    """A wrong option; `kind`: "unknown", "missing" (its value), "bad" (value), "twice"."""

    def __init__(self, kind: str, option: str, value: str = "") -> None:
        super().__init__(f"{option}: {kind} {value}".rstrip())
        self.kind, self.option, self.value = kind, option, value


class Option(NamedTuple):
    """An option: `check` turns the text of its value into the value, ValueError if it is none; None: a flag.

    key: under which the value is found. optional: the value may only come joined (`--parsable=x`).
    """

    key: str
    check: Callable[[str], Any] | None = None
    optional: bool = False


Spec = Mapping[str, Option]


def words(argv: Sequence[str], spec: Spec) -> tuple[dict[str, Any], list[str]]:
    """Options that are whole words with one dash (`-nnodes 4`), up to the first word that is none: LSF's way.

    Returns values by key, and the rest of the words. Given twice, an option is refused as "twice".
    """
    found: dict[str, Any] = {}
    rest = list(argv)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        name = rest.pop(0)
        option = _known(name, spec)
        value: Any = True
        if option.check is not None:
            if not rest:
                raise OptionError("missing", name)
            value = checked(name, option, rest.pop(0))
        _put(found, option.key, value, name)
    return found, rest


def getopt(argv: Sequence[str], spec: Spec) -> tuple[dict[str, Any], list[str]]:
    """`-n4 -n 4 --name=4 --name 4`, up to the first word that is no option: the way of GNU's getopt_long.

    A later value replaces an earlier one.
    """
    found: dict[str, Any] = {}
    rest = list(argv)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            name, equals, text = word.partition("=")
            joined = text if equals else None
        else:
            name, joined = word[:2], word[2:] or None
        option = _known(name, spec)
        if option.check is None:
            if joined is not None and word.startswith("--"):
                raise OptionError("bad", name, joined)
            if joined is not None:
                rest.insert(0, f"-{joined}")  # flags in one word
            found[option.key] = True
            continue
        if joined is None and not option.optional:
            if not rest:
                raise OptionError("missing", name)
            joined = rest.pop(0)
        found[option.key] = True if joined is None else checked(name, option, joined)
    return found, rest


def checked(name: str, option: Option, text: str) -> Any:
    """The value of an option from its text."""
    assert option.check is not None
    try:
        return option.check(text)
    except ValueError:
        raise OptionError("bad", name, text) from None


def _known(name: str, spec: Spec) -> Option:
    if name not in spec:
        raise OptionError("unknown", name)
    return spec[name]


def _put(found: dict[str, Any], key: str, value: Any, name: str) -> None:
    if key in found:
        raise OptionError("twice", name)
    found[key] = value


def text(value: str) -> str:
    """Any text that is not empty."""
    if not value:
        raise ValueError
    return value


def count(value: str) -> int:
    """A whole number from 1."""
    if not value.isdecimal() or int(value) < 1:
        raise ValueError
    return int(value)


def whole(value: str) -> int:
    """A whole number from 0."""
    if not value.isdecimal():
        raise ValueError
    return int(value)


def one_of(*allowed: str) -> Callable[[str], str]:
    """One of these words."""

    def check(value: str) -> str:
        if value not in allowed:
            raise ValueError
        return value

    return check
