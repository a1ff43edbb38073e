"""Values on their way into a job script: each becomes one word of the shell, and no command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from horovod_lb.errors import RequestError

WIDTH = 100  # of a line of wrapped words

_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)|\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def shell(value: object) -> str:
    """`value` as one word, whatever it holds. RequestError: a zero byte, which no word can hold."""
    text = str(value)
    if "\0" in text:
        raise RequestError(f"{text!r} holds a zero byte, which no shell can pass on")
    return shlex.quote(text)


def path(value: object) -> str:
    """As `shell`, but `$NAME`, `${NAME}` and a leading `~/` stand for the job's environment variables.

    Their values are not read as shell either: `$(...)`, backticks and `;` stay what they are.
    """
    text = re.sub(r"^~(?=/|$)", "$HOME", str(value))
    pieces, end = [], 0
    for match in _VARIABLE.finditer(text):
        pieces += [shell(text[end : match.start()]) if match.start() > end else ""]
        pieces += [f'"${{{match[1] or match[2]}}}"']
        end = match.end()
    rest = text[end:]
    return "".join(pieces) + (shell(rest) if rest or not pieces else "")


def one_line(value: object) -> str:
    """A line of the profile's own as it is. RequestError: it would end the line that it stands on."""
    text = str(value)
    if set(text) & set("\n\r\0"):
        raise RequestError(f"{text!r} cannot stand on a line with a directive: it holds the end of a line")
    return text


def directive(value: object) -> str:
    """A value in a directive, in quotes where it needs them.

    RequestError: it holds what the schedulers' own reading of these lines would not leave alone.
    """
    text = one_line(value)
    if set(text) & set("\"'\\`"):
        raise RequestError(
            f"{text!r} cannot stand in a directive, because of its quotes or backslashes; use a folder "
            "(--runs) and a study name without them"
        )
    return text if re.fullmatch(r"[A-Za-z0-9_.,:@%+=/-]+", text) else f'"{text}"'


def wrapped(words: Iterable[object], indent: int = 4) -> str:
    """Words of a list, each through `path`, on lines of `WIDTH` characters where they fit.

    The short option `-x` is not parted from its value.
    """
    lines: list[str] = []
    for word in map(path, words):
        if lines and (lines[-1].endswith(" -x") or len(lines[-1]) + len(word) < WIDTH - indent):
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return ("\n" + " " * indent).join(lines)


FILTERS = {"shell": shell, "path": path, "one_line": one_line, "directive": directive, "wrapped": wrapped}
