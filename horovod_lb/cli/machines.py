"""`hlb machines`: which machine profiles there are, and what is in one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from horovod_lb.errors import MachineError

if TYPE_CHECKING:
    from horovod_lb.machines.load import Profile

Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show this one, key by key.")]
Study = Annotated[Path | None, typer.Option(help="Study file: profiles in machines/ beside it count too.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

COLUMNS = ("machine", "scheduler", "launcher", "nodes", "GPUs", "cores", "ranks", "from")
_NUMBERS = COLUMNS[3:7]


def machines(name: Name = None, study: Study = None, as_json: Json = False) -> None:
    """List the machine profiles, or show one with every key and the file that it comes from."""
    from horovod_lb.machines import default_machine, load, machine_names

    default = default_machine()
    if name is not None:
        _show(load.load_profile(name, study=study), default, as_json)
        return
    found: dict[str, Profile | MachineError] = {}
    for each in machine_names(study):
        try:
            found[each] = load.load_profile(each, study=study)
        except MachineError as error:
            found[each] = error
    if as_json:
        listed = [_as_data(profile) for profile in found.values() if not isinstance(profile, MachineError)]
        wrong = {each: str(error) for each, error in found.items() if isinstance(error, MachineError)}
        print(json.dumps({"default": default, "machines": listed, "wrong": wrong}, indent=1))
    else:
        _list(found, default)
    if default is not None and default not in found:
        load.load_machine(default, study=study)  # says that there is none, and which there are
    if any(isinstance(profile, MachineError) for profile in found.values()):
        raise typer.Exit(2)


def _list(found: Mapping[str, Profile | MachineError], default: str | None) -> None:
    from horovod_lb.cli.table import print_table

    rows = []
    for name, profile in found.items():
        mark = f"{name} (default)" if name == default else name
        if isinstance(profile, MachineError):
            rows.append((mark, "wrong", "", "", "", "", "", "see below"))
            continue
        machine = profile.machine
        nodes = str(machine.nodes or "")
        gpus, cores, ranks = map(str, (machine.gpus_per_node, machine.cores_per_node, machine.ranks_per_node))
        layers = ", ".join(map(_place, map(str, profile.layers)))
        rows.append((mark, machine.scheduler, machine.launcher, nodes, gpus, cores, ranks, layers))
    print_table(COLUMNS, rows, right=_NUMBERS)
    for name, profile in found.items():
        if isinstance(profile, MachineError):
            print(f"{name}: {profile}")
    if default is None:
        print('No default: --machine NAME chooses, or $HLB_MACHINE, or machine = "NAME" in ' + _config())


def _show(profile: Profile, default: str | None, as_json: bool) -> None:
    from horovod_lb.cli.table import print_table

    if as_json:
        print(json.dumps({"default": profile.machine.name == default, **_as_data(profile)}, indent=1))
        return
    rows = [(key, value, _place(origin)) for key, value, origin in _keys(profile)]
    print_table(("key", "value", "from"), rows)
    print("Layers, each over the one before: " + ", ".join(map(_place, map(str, profile.layers))))


def _keys(profile: Profile) -> Iterator[tuple[str, str, str]]:
    """Every key with its value as TOML has it and the place it comes from; one row for each bin."""
    for path, value in _flat(profile.machine.model_dump(), ()):
        if path != ("name",):
            origin = profile.origin(path) or ("default" if path[0] not in _DERIVED else "follows from others")
            yield _dotted(path), _toml(value), origin


_DERIVED = ("ranks_per_node", "cores_per_rank")


def _flat(
    data: Mapping[str, Any], before: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    for key, value in data.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, (*before, key))
        elif key == "walltimes" and value:
            for index, bin in enumerate(value):
                yield (key, index), bin
        else:
            yield (*before, key), value


def _as_data(profile: Profile) -> dict[str, Any]:
    origins = {_dotted(path): place for path, place in profile.origins.items()}
    return {**profile.machine.model_dump(), "layers": [str(p) for p in profile.layers], "origins": origins}


def _dotted(path: tuple[str | int, ...]) -> str:
    from horovod_lb.study.document import dotted

    return dotted(path)


def _toml(value: Any) -> str:
    """A value as a profile would write it; nothing for a key that is not set."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _place(path: str) -> str:
    """A file as people say it: `shipped`, or with ~ for the home folder."""
    from horovod_lb.machines.source import SHIPPED

    text = path.replace(f"{SHIPPED}/", "shipped ")
    home = str(Path.home())
    return f"~{text[len(home) :]}" if text.startswith(f"{home}/") else text


def _config() -> str:
    from horovod_lb.machines.load import CONFIG
    from horovod_lb.machines.source import config_folder

    return _place(str(config_folder() / CONFIG))
