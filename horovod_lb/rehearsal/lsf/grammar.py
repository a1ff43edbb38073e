"""The values that bsub's options take, as LSF's manual has them; each function raises ValueError."""

from __future__ import annotations

import re
import shlex
import signal
from typing import NamedTuple

from horovod_lb.rehearsal.options import Option, count, text

# Of an array's name and its whole specification (LSF: "Create a job array").
_ARRAY = re.compile(r"(?P<name>[A-Za-z0-9._-]+)\[(?P<indices>[0-9,:-]+)\](?:%(?P<throttle>[0-9]+))?")
_ARRAY_LENGTH = 255
_NAME_LENGTH = 4094
_DIRECTIVE = re.compile(r"^#BSUB\s+(.*)$", re.MULTILINE)
ALLOC_FLAGS = frozenset({"gpumps", "gpudefault", "smt1", "smt2", "smt4", "maximizegpfs", "nvme"})


class Name(NamedTuple):
    """`name` or `name[indices]%throttle`; `spec` is the part from the bracket to the bracket."""

    name: str
    indices: tuple[int, ...] | None
    throttle: int | None
    spec: str | None


def minutes(value: str) -> int:
    """`[hours:]minutes`; hours:minutes:seconds is none."""
    found = re.fullmatch(r"(?:(\d+):)?(\d+)", value)
    if found is None:
        raise ValueError
    total = 60 * int(found[1] or 0) + int(found[2])
    if not total or (found[1] is not None and int(found[2]) > 59):
        raise ValueError
    return total


def name(value: str) -> Name:
    """A job's name, or an array's with its indices, which are positive and in rising order."""
    if "[" not in value and "]" not in value:
        if not value or len(value) > _NAME_LENGTH or not value.isprintable():
            raise ValueError
        return Name(value, None, None, None)
    found = _ARRAY.fullmatch(value)
    if found is None or len(value) > _ARRAY_LENGTH:
        raise ValueError
    chosen: list[int] = []
    for part in found["indices"].split(","):
        piece = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if piece is None:
            raise ValueError
        first, last, step = int(piece[1]), int(piece[2] or piece[1]), int(piece[3] or 1)
        if first < 1 or last < first or step < 1:
            raise ValueError
        chosen += range(first, last + 1, step)
    if len(set(chosen)) != len(chosen) or found["throttle"] == "0":
        raise ValueError
    throttle = int(found["throttle"]) if found["throttle"] else None
    return Name(found["name"], tuple(sorted(chosen)), throttle, f"[{found['indices']}]")


def requeue_codes(value: str) -> tuple[int, ...]:
    """`99`, `99 100`, `all`, `all ~1 ~2`; EXCLUDE(n) does not work for parallel jobs and is refused."""
    codes: set[int] = set()
    dropped: set[int] = set()
    for word in value.split():
        if word == "all":
            codes |= set(range(1, 256))
        elif (found := re.fullmatch(r"(~?)(\d+)", word)) and 0 <= int(found[2]) <= 255:
            (dropped if found[1] else codes).add(int(found[2]))
        else:
            raise ValueError
    if not codes:
        raise ValueError
    return tuple(sorted(codes - dropped))


def signal_name(value: str) -> str:
    """A signal without SIG, for `-wa`; the actions CHKPNT and the like are not played."""
    if value.startswith("SIG") or not hasattr(signal, f"SIG{value}"):
        raise ValueError
    return value


def alloc_flags(value: str) -> tuple[str, ...]:
    """Words of `-alloc_flags "gpumps smt1"`; at most one smt level."""
    flags = tuple(value.split())
    if not flags or not ALLOC_FLAGS.issuperset(flags) or len(set(flags)) != len(flags):
        raise ValueError
    if sum(flag.startswith("smt") for flag in flags) > 1:
        raise ValueError
    return flags


def span(value: str) -> int | None:
    """Slots a host of `-R "span[ptile=6]"`; 0 for `hosts=1`, all of them on one; None: it does not say."""
    if value.count("[") != value.count("]") or not re.match(
        r"(select|span|rusage|order|same|affinity)\[|\w", value
    ):
        raise ValueError
    if "span[" not in value:
        return None
    found = re.search(r"span\[(?:ptile=(\d+)|hosts=1)\]", value)
    if found is None:
        raise ValueError
    return int(found[1]) if found[1] else 0


def gpu(value: str) -> int:
    """GPUs a host of `-gpu "num=6:mode=shared:j_exclusive=yes"`."""
    number = 1
    for part in value.split(":"):
        key, equals, setting = part.partition("=")
        if key == "num" and (found := re.fullmatch(r"(\d+)(/(task|host))?", setting)) and int(found[1]):
            number = int(found[1])
        elif not equals or key not in (
            "mode",
            "mps",
            "j_exclusive",
            "gmodel",
            "gmem",
            "aff",
            "block",
            "gpack",
        ):
            raise ValueError
    return number


def environment(value: str) -> str:
    """`all`, `none`, `all, NAME=value`, `NAME`: kept as it is."""
    for part in value.split(","):
        if not re.fullmatch(r"\s*(all|none|~?[A-Za-z_]\w*(=.*)?)\s*", part):
            raise ValueError
    return value


OPTIONS = {
    "-P": Option("project", text),
    "-W": Option("minutes", minutes),
    "-nnodes": Option("nnodes", count),
    "-n": Option("slots", count),
    "-R": Option("span", span),
    "-gpu": Option("gpu", gpu),
    "-x": Option("exclusive"),
    "-q": Option("queue", text),
    "-J": Option("name", name),
    "-Jd": Option("description", text),
    "-o": Option("output", text),
    "-oo": Option("output_new", text),
    "-e": Option("error", text),
    "-eo": Option("error_new", text),
    "-N": Option("mail_end"),
    "-B": Option("mail_begin"),
    "-u": Option("mail_to", text),
    "-U": Option("reservation", text),
    "-alloc_flags": Option("alloc_flags", alloc_flags),
    "-wa": Option("warning", signal_name),
    "-wt": Option("warning_minutes", minutes),
    "-w": Option("after", text),
    "-Q": Option("requeue_codes", requeue_codes),
    "-r": Option("rerunnable"),
    "-rn": Option("never_rerun"),
    "-cwd": Option("directory", text),
    "-env": Option("environment", environment),
    "-H": Option("held"),
}


def directives(script: str) -> list[str]:
    """The words of a script's `#BSUB` lines, in order; quotes are a shell's."""
    found: list[str] = []
    for line in _DIRECTIVE.findall(script):
        found += shlex.split(line)
    return found
