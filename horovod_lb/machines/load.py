"""Finding machine profiles, laying them over each other, and checking what comes out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from horovod_lb.errors import MachineError
from horovod_lb.machines import source
from horovod_lb.machines.profile import Machine
from horovod_lb.machines.source import KeyPath, Source

VARIABLE = "HLB_MACHINE"
CONFIG = "config.toml"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
Study = str | os.PathLike[str] | None


@dataclass(frozen=True)
class Profile:
    """A machine with the history of its keys: `layers` are the files, weakest first.

    `origins` has the place of every key that was written somewhere: "file:line", or the option that set it.
    """

    machine: Machine
    layers: tuple[Path, ...]
    origins: Mapping[KeyPath, str]

    def origin(self, path: KeyPath) -> str | None:
        """The place of a key; None where it has its default, or follows from other keys."""
        return self.origins.get(path)


def load_machine(name: str, *, study: Study = None, overrides: Mapping[str, Any] | None = None) -> Machine:
    """The machine `name`: its layers from the package, the user's folder and beside the study, in this order.

    Args:
        name: a profile's name, see `machine_names`.
        study: the study file, or its folder; profiles beside it are in its folder `machines`.
        overrides: values for dotted keys, such as {"account": "ABC123"}, laid over all files.

    MachineError: no such profile; TOML that cannot be read; a key or value that will not do, with its place,
    what was found, what is allowed and the nearest valid key.
    """
    return load_profile(name, study=study, overrides=overrides).machine


def load_profile(name: str, *, study: Study = None, overrides: Mapping[str, Any] | None = None) -> Profile:
    """As `load_machine`, with the files and the place of each key."""
    layers = _layers(name, machine_names(study), ())
    data: dict[str, Any] = {}
    origins: dict[KeyPath, str] = {}
    for layer in layers:
        data = _merge(data, layer.data)
        origins = {path: place for path, place in origins.items() if not _replaces(layer.data, path)}
        origins |= {path: layer.where(path) for path in _leaves(layer.data)}
    for key, value in (overrides or {}).items():
        path = tuple(key.split("."))
        for part in reversed(path):
            value = {part: value}
        data = _merge(data, value)
        origins[path] = f"--{key.rpartition('.')[2].replace('_', '-')}"
    data.pop("extends", None)

    def where(path: KeyPath) -> str:
        for length in range(len(path), 0, -1):
            if path[:length] in origins:
                return origins[path[:length]]
        return layers[-1].where(path)

    try:
        machine = Machine.model_validate({**data, "name": name})
    except ValidationError as error:
        from horovod_lb.machines.explain import machine_error

        raise machine_error(error, where, name) from None
    return Profile(machine, tuple(layer.path for layer in layers), origins)


def machine_names(study: Study = None) -> dict[str, list[Path]]:
    """Every profile there is, by name, each with the files of its layers, weakest first."""
    found: dict[str, list[Path]] = {}
    for folder in source.folders(study):
        for path in sorted(folder.glob("*.toml")):
            if not _NAME.fullmatch(path.stem):
                raise MachineError(
                    f"{path}: a profile is called by its file's name, of lower-case letters, digits and -; "
                    "rename the file"
                )
            found.setdefault(path.stem, []).append(path)
    return dict(sorted(found.items()))


def default_machine() -> str | None:
    """`$HLB_MACHINE`, else `machine = "..."` in the user's config.toml; None where neither is set.

    MachineError: config.toml cannot be read, or does not say it like this.
    """
    if name := os.environ.get(VARIABLE, "").strip():
        return name
    path = source.config_folder() / CONFIG
    if not path.exists():
        return None
    config = source.read(path)
    machine = config.data.get("machine")
    if machine is not None and not isinstance(machine, str):
        place = config.where(("machine",))
        raise MachineError(f'{place}: machine: the name of a profile is needed, in "..."')
    return machine


def _layers(
    name: str, names: Mapping[str, list[Path]], before: tuple[str, ...], place: str | None = None
) -> list[Source]:
    """The files that make up `name`, weakest first: those of the profile it extends, then its own."""
    if name not in names:
        from horovod_lb.machines.explain import unknown_machine

        raise unknown_machine(name, names, place)
    own = [source.read(path) for path in names[name]]
    for layer in own:
        if layer.data.get("name", name) != name:
            raise MachineError(
                f"{layer.where(('name',))}: name: the profile is called {name}, as its file; leave it out"
            )
    extending = [layer for layer in own if "extends" in layer.data]
    if not extending:
        return own
    base, place = extending[-1].data["extends"], extending[-1].where(("extends",))
    if not isinstance(base, str):
        raise MachineError(f'{place}: extends: the name of another profile is needed, in "..."')
    if base == name:
        raise MachineError(
            f"{place}: extends: {name} cannot extend itself; leave the line out: a file of the same name "
            "as a profile changes it key by key"
        )
    if base in before:
        circle = " extends ".join((*before[before.index(base) :], name, base))
        raise MachineError(f"{place}: extends: {circle}; break the circle")
    return [*_layers(base, names, (*before, name), place), *own]


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`: tables key by key, everything else as a whole; "" takes a key back."""
    merged = dict(below)
    for key, value in above.items():
        old = below.get(key)
        merged[key] = (
            _merge(old if isinstance(old, dict) else {}, value) if isinstance(value, dict) else value
        )
    return {key: value for key, value in merged.items() if value != ""}


def _replaces(data: Any, path: KeyPath) -> bool:
    """Whether `data` has something else than tables on the way to `path`."""
    for part in path:
        if not isinstance(data, dict):
            return True
        if part not in data:
            return False
        data = data[part]
    return not isinstance(data, dict)


def _leaves(data: Mapping[str, Any], before: KeyPath = ()) -> Iterator[KeyPath]:
    """The path of every key, those of tables first."""
    for key, value in data.items():
        yield (*before, key)
        if isinstance(value, dict):
            yield from _leaves(value, (*before, key))
        elif isinstance(value, list):
            for index, element in enumerate(value):
                if isinstance(element, dict):
                    yield from ((*before, key, index, *rest) for rest in ((), *_leaves(element)))
