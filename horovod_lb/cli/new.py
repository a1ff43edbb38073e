"""`hlb new`: the studies that come with the package."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from horovod_lb.errors import RequestError


def new(
    preset: Annotated[
        str | None, typer.Argument(metavar="[PRESET]", help="Name of a shipped study; without it, list them.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File to write. Default: PRESET.yaml in this directory."),
    ] = None,
) -> None:
    """List the shipped studies, or write one of them to a file of your own.

    A file that is there already is never overwritten.
    """
    from horovod_lb.study.shipped import shipped_studies

    studies = shipped_studies()
    if preset is None:
        if out is not None:
            raise RequestError(f"--out {out}: say which study to write, as in hlb new demo --out {out}")
        width = max(map(len, studies), default=0)
        for name, path in studies.items():
            print(f"{name:<{width}}  {_title(path)}")
        return
    if preset not in studies:
        near = get_close_matches(preset, studies, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise RequestError(f"there is no study {preset!r}{hint}; there are {', '.join(studies)}")
    target = out or Path(f"{preset}.yaml")
    try:
        with target.open("xb") as file:
            file.write(studies[preset].read_bytes())
    except FileExistsError:
        raise RequestError(f"{target} is there already; choose another file with --out") from None
    except OSError as error:
        raise RequestError(f"{target}: cannot be written: {error.strerror}") from None
    print(f"Wrote {target}. Next: hlb plan {target}")


def _title(path: Path) -> str:
    """The first comment line of a study file."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
