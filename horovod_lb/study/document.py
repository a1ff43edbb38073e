"""YAML text as plain data whose every key and value knows its line.

Scalars follow the YAML 1.2 core schema, so 1e-3 is a number, and 2:00 and no are text. Duplicate keys, tags
and aliases that unfold into something huge are refused. The parser's events are read, not its node tree:
composing a tree recurses in C and falls over on text that is nested deeply enough.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

from horovod_lb.errors import StudyError

KeyPath = tuple[Hashable, ...]
MAX_VALUES = 500_000
MAX_DEPTH = 50
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **{sign + name: float(sign + "inf") for sign in ("", "+", "-") for name in (".inf", ".Inf", ".INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
# A plain ${NAME} inside {...} is not YAML, yet natural to write: its braces pass the parser in disguise.
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_DISGUISED = re.compile("\\$\ue000([A-Za-z_][A-Za-z0-9_]*)\ue001")


class Document:
    """A YAML file: `.data` as plain dicts, lists and scalars, `.where(path)` as "file:line"."""

    def __init__(self, text: str, source: str):
        self.source = source
        self._lines: dict[KeyPath, int] = {}
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._values = 0
        self._events = self._parse(_VARIABLE.sub("$\ue000\\1\ue001", text))
        self.data: Any = self._document()

    @classmethod
    def read(cls, path: Path) -> Document:
        """The document in a file. StudyError: missing, not a file, not UTF-8, not YAML."""
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except FileNotFoundError:
            raise StudyError(f"{path}: no such file") from None
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise StudyError(
                f"{path}:{line}: byte {error.object[error.start]:#04x} is not UTF-8; save the file as UTF-8"
            ) from None
        except OSError as error:
            raise StudyError(f"{path}: cannot be read: {error.strerror}") from None
        return cls(text, str(path))

    def where(self, path: KeyPath) -> str:
        """The place of a key, or of the nearest thing around it that is in the file."""
        while path and path not in self._lines:
            path = path[:-1]
        return f"{self.source}:{self._lines.get(path, 1)}"

    def _parse(self, text: str) -> Iterator[Any]:
        try:
            yield from yaml.parse(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
            problem = " ".join(str(part) for part in (error.context, error.problem) if part)
            raise StudyError(f"{self.source}{line}: not valid YAML: {_undisguise(problem)}") from None
        except yaml.YAMLError as error:
            raise StudyError(f"{self.source}: not valid YAML: {str(error).splitlines()[0]}") from None

    def _document(self) -> Any:
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        data = self._value(next(self._events), (), 0)
        next(self._events)
        following = next(self._events)
        if not isinstance(following, yaml.StreamEndEvent):
            line = following.start_mark.line + 1
            raise StudyError(f"{self.source}:{line}: a second document begins here; one file holds one study")
        return data

    def _value(self, event: Any, path: KeyPath, depth: int) -> Any:
        line = event.start_mark.line + 1
        self._lines.setdefault(path, line)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), line)
        if event.tag is not None:
            raise StudyError(f"{self.source}:{line}: the tag {event.tag} is not allowed; write a plain value")
        before = self._values
        self._count(1, line)
        if depth > MAX_DEPTH:
            raise StudyError(
                f"{self.source}:{line}: nested more than {MAX_DEPTH} levels deep; write it flatter"
            )
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event.value, line) if event.implicit[0] else _undisguise(event.value)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                value.append(self._value(item, (*path, len(value)), depth + 1))
        else:
            value = self._mapping(path, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._values - before)
        return value

    def _mapping(self, path: KeyPath, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            if not isinstance(event, yaml.ScalarEvent):
                raise StudyError(f"{self.source}:{line}: a key must be a word, not a list, mapping or alias")
            key = _undisguise(event.value)
            here = (*path, key)
            if key in result:
                raise StudyError(
                    f"{self.source}:{line}: {dotted(here)}: written twice, in line {self._lines[here]} too; "
                    "keep one of them"
                )
            self._lines[here] = line
            result[key] = self._value(next(self._events), here, depth + 1)
        return result

    def _alias(self, anchor: str, line: int) -> Any:
        if anchor not in self._anchors:
            raise StudyError(
                f"{self.source}:{line}: the alias *{anchor} has no finished anchor &{anchor} before it"
            )
        value, size = self._anchors[anchor]
        self._count(size, line)
        return copy.deepcopy(value)

    def _count(self, values: int, line: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise StudyError(
                f"{self.source}:{line}: the file unfolds into more than {MAX_VALUES} values, as aliases of "
                "aliases do; write out what is meant"
            )

    def _scalar(self, text: str, line: int) -> Any:
        if text in _WORDS:
            return _WORDS[text]
        try:
            if _INT.fullmatch(text):
                return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
            if _FLOAT.fullmatch(text):
                return float(text)
        except ValueError:
            raise StudyError(f"{self.source}:{line}: a number of {len(text)} digits is too long") from None
        return _undisguise(text)


def dotted(path: KeyPath) -> str:
    """A path as users write it: recipe.schedule.epochs[1]."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _undisguise(text: str) -> str:
    return _DISGUISED.sub(r"${\1}", text)
