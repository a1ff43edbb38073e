"""`hlb new`: the studies that come with the package."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from horovod_lb.errors import RequestError

if TYPE_CHECKING:
    from horovod_lb.study.shipped import Shipped

OWN, OTHER = "Presets of this project", "Other studies"


def new(
    preset: Annotated[
        str | None, typer.Argument(metavar="[PRESET]", help="Name of a shipped study; without it, list them.")
    ] = None,
    miniature: Annotated[
        bool, typer.Option("--miniature", help="The preset's small variant for two cores.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File to write. Default: the study's name and .yaml, here."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The list as JSON.")] = False,
) -> None:
    """List the shipped studies, or write one of them to a file of your own.

    Presets are the studies of papers; most have a miniature, the same question in a size for two cores. A
    file that is there already is never overwritten.
    """
    if preset is None:
        if out is not None or miniature:
            option = f"--out {out}" if out is not None else "--miniature"
            raise RequestError(f"{option}: say which study to write, as in hlb new you2020-table3 {option}")
        _list(as_json)
        return
    if as_json:
        raise RequestError(f"--json: goes with the list of studies, not with {preset}")
    source = _find(preset, miniature)
    target = out or Path(f"{preset}-miniature.yaml" if miniature else f"{preset}.yaml")
    try:
        with target.open("xb") as file:
            file.write(source.read_bytes())
    except FileExistsError:
        raise RequestError(f"{target} is there already; choose another file with --out") from None
    except OSError as error:
        raise RequestError(f"{target}: cannot be written: {error.strerror}") from None
    print(f"Wrote {target}. Next: hlb plan {target}")


def _find(name: str, miniature: bool) -> Path:
    """The file of a shipped study or miniature. RequestError: there is none of this name."""
    from horovod_lb.study.shipped import miniatures, shipped_studies

    studies, small = shipped_studies(), miniatures()
    if name not in studies:
        near = get_close_matches(name, studies, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise RequestError(f"there is no study {name!r}{hint}; there are {', '.join(studies)}")
    if not miniature:
        return studies[name]
    if name not in small:
        raise RequestError(f"{name} has no miniature; {', '.join(small) or 'no study'} {_has(small)}")
    return small[name]


def _has(studies: Mapping[str, Path]) -> str:
    return "have one" if len(studies) > 1 else "has one"


def _list(as_json: bool) -> None:
    from horovod_lb.study.shipped import described, miniatures, shipped_studies

    studies, small = described(shipped_studies()), described(miniatures())
    if as_json:
        print(json.dumps([_entry(study, small.get(name)) for name, study in studies.items()], indent=1))
        return
    groups: dict[str, list[Shipped]] = {}
    for name, study in studies.items():
        heading = study.paper or (OWN if name in small else OTHER)
        groups.setdefault(heading, []).append(study)
    for heading in sorted(groups, key=lambda heading: (heading == OTHER, heading == OWN)):
        print(heading)
        _print_group(groups[heading], small)
    print("hlb new NAME writes NAME.yaml; with --miniature its variant for two cores.")


def _print_group(studies: Iterable[Shipped], small: Mapping[str, Shipped]) -> None:
    for study in studies:
        print(f"  {study.name}: {study.title}\n      {_size(study)}", end="")
        print(f"; miniature: {_size(small[study.name])}\n" if study.name in small else "\n", end="")
    print()


def _size(study: Shipped) -> str:
    runs = "1 run" if study.runs == 1 else f"{study.runs:,} runs"
    return f"{runs}, {study.cost}" if study.cost else runs


def _entry(study: Shipped, miniature: Shipped | None) -> dict[str, Any]:
    found = {**asdict(study), "miniature": asdict(miniature) if miniature else None}
    for shown in (found, found["miniature"]):
        if shown:
            shown["path"] = str(shown["path"])
    return found
