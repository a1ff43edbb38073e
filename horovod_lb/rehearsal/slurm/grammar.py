"""The values that the options of sbatch and srun take, as their manuals have them; ValueError otherwise."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Mapping
from typing import Any, NamedTuple

from horovod_lb.rehearsal.options import Option, count, one_of, text, whole

_DIRECTIVE = re.compile(r"^#SBATCH\s+(.*)$")
_KINDS = {"after": "started", "afterany": "ended", "afterok": "done", "afternotok": "exit"}


class Array(NamedTuple):
    """`--array=0-9:2,12%4`."""

    indices: tuple[int, ...]
    throttle: int | None
    spec: str


def minutes(value: str) -> float | None:
    """`minutes`, `minutes:seconds`, `hours:minutes:seconds`, with `days-` before; None: 0, no limit."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", value)
    if found is None:
        raise ValueError
    days, *parts = (int(part) if part is not None else None for part in found.groups())
    first, second, third = parts
    assert first is not None
    if days is not None:  # days-hours[:minutes[:seconds]]
        total = 1440 * days + 60 * first + (second or 0) + (third or 0) / 60
    elif third is not None:
        total = 60 * first + (second or 0) + third / 60
    else:
        total = first + (second or 0) / 60
    # Limits have the resolution of a minute, rounded up.
    return float(-(-total // 1)) if total else None


def array(value: str) -> Array:
    """Indices from 0, in any order, each once."""
    body, percent, throttle = value.partition("%")
    if percent and (not throttle.isdecimal() or not int(throttle)):
        raise ValueError
    chosen: list[int] = []
    for part in body.split(","):
        found = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if found is None:
            raise ValueError
        first, last, step = int(found[1]), int(found[2] or found[1]), int(found[3] or 1)
        if last < first or step < 1:
            raise ValueError
        chosen += range(first, last + 1, step)
    if len(set(chosen)) != len(chosen):
        raise ValueError
    return Array(tuple(sorted(chosen)), int(throttle) if percent else None, value)


class Notice(NamedTuple):
    """`--signal=[R][B:]NAME[@seconds]`."""

    shell: bool
    name: str
    seconds: int


def warning(value: str) -> Notice:
    """The signal by name or number, 60 s before the limit unless it says otherwise."""
    found = re.fullmatch(r"(?:([RB]{1,2}):)?(?:SIG)?([A-Z0-9]+)(?:@(\d+))?", value)
    if found is None:
        raise ValueError
    name = signal.Signals(int(found[2])).name[3:] if found[2].isdecimal() else found[2]
    if not hasattr(signal, f"SIG{name}") or int(found[3] or 60) > 65535:
        raise ValueError
    return Notice("B" in (found[1] or ""), name, int(found[3] or 60))


def dependency(value: str) -> Any:
    """Nested lists, see `rehearsal.dependency`; `,` is and, `?` is or; both together are refused."""
    if "," in value and "?" in value:
        raise ValueError
    word = "or" if "?" in value else "and"
    found: list[Any] = [word]
    for part in re.split(r"[,?]", value):
        kind, *ids = part.split(":")
        if kind == "singleton" and not ids:
            found.append(["singleton"])
            continue
        if kind not in _KINDS or not ids:
            raise ValueError
        for one in ids:
            piece = re.fullmatch(r"(\d+)(?:_(\d+))?", one)
            if piece is None:
                raise ValueError
            found.append([_KINDS[kind], int(piece[1]), int(piece[2]) if piece[2] else None])
    return found


def gres(value: str) -> int:
    """GPUs a node of `gpu:6` or `gpu:v100:6`; `none` is 0."""
    if value == "none":
        return 0
    found = re.fullmatch(r"gpu(?::[A-Za-z]\w*)?(?::(\d+))?", value)
    if found is None:
        raise ValueError
    return int(found[1] or 1)


def gpus(value: str) -> int:
    """`6` or `v100:6`."""
    found = re.fullmatch(r"(?:[A-Za-z][\w-]*:)?(\d+)", value)
    if found is None:
        raise ValueError
    return int(found[1])


def binding(value: str) -> str:
    """Of `--gpu-bind`."""
    pattern = r"(verbose,)?(closest|none|per_task:\d+|single:\d+|(map|mask)(_gpu)?:[\w,*]+)"
    if not re.fullmatch(pattern, value):
        raise ValueError
    return value


# In both commands. Keys of more than one spelling share an Option.
_COMMON = {
    **dict.fromkeys(("-N", "--nodes"), Option("nodes", count)),
    **dict.fromkeys(("-n", "--ntasks"), Option("tasks", count)),
    **dict.fromkeys(("-c", "--cpus-per-task"), Option("cores", count)),
    **dict.fromkeys(("-J", "--job-name"), Option("name", text)),
    **dict.fromkeys(("-o", "--output"), Option("output", text)),
    **dict.fromkeys(("-e", "--error"), Option("error", text)),
    **dict.fromkeys(("-D", "--chdir"), Option("directory", text)),
    **dict.fromkeys(("-t", "--time"), Option("minutes", minutes)),
    "--ntasks-per-node": Option("tasks_per_node", count),
    "--gpus-per-node": Option("gpus_per_node", gpus),
    "--gpus-per-task": Option("gpus_per_task", gpus),
    "--gpu-bind": Option("gpu_bind", binding),
    "--gres": Option("gpus_per_node", gres),
    "--export": Option("export", text),
    "--mem": Option("memory", text),
    "--mem-per-cpu": Option("memory", text),
    "--hint": Option("hint", text),
    "--exclusive": Option("exclusive", text, optional=True),
    "--threads-per-core": Option("threads_per_core", count),
    "--open-mode": Option("open_mode", one_of("append", "truncate")),
}
SBATCH = {
    **_COMMON,
    **dict.fromkeys(("-A", "--account"), Option("account", text)),
    **dict.fromkeys(("-p", "--partition"), Option("queue", text)),
    **dict.fromkeys(("-q", "--qos"), Option("qos", text)),
    **dict.fromkeys(("-C", "--constraint"), Option("constraint", text)),
    **dict.fromkeys(("-a", "--array"), Option("array", array)),
    **dict.fromkeys(("-d", "--dependency"), Option("after", dependency)),
    **dict.fromkeys(("-H", "--hold"), Option("held")),
    "--signal": Option("warning", warning),
    "--requeue": Option("requeue"),
    "--no-requeue": Option("no_requeue"),
    "--parsable": Option("parsable"),
    "--test-only": Option("test_only"),
    "--mail-type": Option("mail_type", text),
    "--mail-user": Option("mail_user", text),
    "--reservation": Option("reservation", text),
    "--comment": Option("comment", text),
    "--licenses": Option("licenses", text),
    "--core-spec": Option("core_spec", whole),
    **dict.fromkeys(("-S", "--core-spec"), Option("core_spec", whole)),
    "--network": Option("network", text),
}
SRUN = {
    **_COMMON,
    **dict.fromkeys(("-K", "--kill-on-bad-exit"), Option("kill", one_of("0", "1"), optional=True)),
    **dict.fromkeys(("-l", "--label"), Option("label")),
    **dict.fromkeys(("-m", "--distribution"), Option("distribution", text)),
    "--mpi": Option("mpi", text),
    "--exact": Option("exact"),
    "--overlap": Option("overlap"),
    "--cpu-bind": Option("cpu_bind", text),
    "--unbuffered": Option("unbuffered"),
    "-u": Option("unbuffered"),
    "--gpus": Option("gpus", gpus),
}


def directives(script: str) -> list[str]:
    """The words of the `#SBATCH` lines before the first command, where sbatch stops looking."""
    found: list[str] = []
    for line in script.splitlines():
        if (match := _DIRECTIVE.match(line)) is not None:
            found += shlex.split(match[1], comments=True)
        elif line.strip() and not line.startswith("#"):
            break
    return found


def gpus_per_node(options: Mapping[str, Any], tasks_per_node: int) -> int:
    """GPUs of a node, however they were asked for."""
    return int(options.get("gpus_per_node") or options.get("gpus_per_task", 0) * tasks_per_node)
