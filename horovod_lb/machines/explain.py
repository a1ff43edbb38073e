"""What is wrong with a machine profile, as sentences: place, key, what was found, what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from horovod_lb.errors import MachineError
from horovod_lb.machines.profile import Machine
from horovod_lb.machines.source import KeyPath, config_folder
from horovod_lb.study.document import dotted
from horovod_lb.study.explain import NEEDED, choice, shown
from horovod_lb.study.nearest import nearest

_NEEDED = {
    **NEEDED,
    "dict_type": "a table",
    "model_type": "a table",
    "less_than_equal": "a number <= {le:g}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
}
_ALLOWED = {
    "mpi": "letters, digits and _.,:@%+=/-",
    "account": "letters, digits and _.,:@%+=/-",
    "queue": "letters, digits and _.,:@%+=/-",
    "modules": "letters, digits and _.,:@%+=/-, a module each",
    "environment.[key]": "names of environment variables",
}


def machine_error(error: ValidationError, where: Callable[[KeyPath], str], name: str) -> MachineError:
    """One sentence for each thing that is wrong."""
    found = []
    for detail in error.errors(include_url=False):
        context = detail.get("ctx", {})
        path: KeyPath = tuple(part for part in detail["loc"] if part != "[key]")
        path = (*path, *context.get("key", ()))
        key = f"{dotted(path)}: " if path else ""
        general = "environment.[key]" if "[key]" in detail["loc"] else _names(path)
        found.append(f"{where(path)}: {key}{_sentence(detail['type'], detail['input'], context, general)}")
    found = list(dict.fromkeys(found))
    if len(found) == 1:
        return MachineError(found[0])
    return MachineError(f"{len(found)} errors in the machine profile {name}\n  " + "\n  ".join(found))


def unknown_machine(name: str, names: Iterable[str], place: str | None) -> MachineError:
    """What to say about a profile that there is not; `place`: the line that extends it."""
    place = f"{place}: extends: " if place else ""
    meant = nearest(name, names)
    hint = f"; did you mean {meant}?" if meant else "."
    return MachineError(
        f"{place}there is no machine profile {shown(name)}; there are {', '.join(names)}{hint} "
        f"Your own goes into {config_folder() / 'machines'}/NAME.toml, or machines/ beside the study."
    )


def known_keys() -> tuple[str, ...]:
    """Every dotted key of a profile, tables before what is in them; `walltimes.nodes` is in each bin."""
    return tuple(_below(Machine, ""))


def _below(model: type[BaseModel], before: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{before}{name}"
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _below(part, f"{before}{name}.")


def _names(path: KeyPath) -> str:
    return ".".join(part for part in path if isinstance(part, str))


def _sentence(kind: str, value: Any, context: Mapping[str, Any], key: str) -> str:
    if kind == "extra_forbidden":
        section = key.rpartition(".")[0]
        beside = [known for known in known_keys() if known.rpartition(".")[0] == section]
        meant = nearest(key, beside) or nearest(key, known_keys())
        names = ", ".join(known.rpartition(".")[2] for known in beside)
        allowed = f"; allowed here: {names}" if section else ""
        hint = f"did you mean {meant}?" if meant else "docs/machines.md lists the keys"
        return f"unknown key{allowed}; {hint}"
    if kind == "missing":
        return "missing; it must be given, in this file or in one it is laid over"
    if kind == "literal_error":
        return choice(value, context["expected"])
    if kind == "string_pattern_mismatch":
        return f"found {shown(value)}; allowed are {_ALLOWED.get(key, 'a single line that is not empty')}"
    if kind == "refused":
        found = f"found {shown(value)}; " if isinstance(value, str | int) else ""
        return f"{found}{context['message']}"
    needed = _NEEDED[kind].format(**context) if kind in _NEEDED else kind
    return f"found {shown(value)}; {needed} is needed"
