"""The job scripts and studies that come with the package.

`horovod_lb/jobs` is a link to `jobs/` of the repository, the one place where they are written; a built
package holds copies of its files. A study of a paper is a preset: it says so in `about.paper`, and may have a
small variant for two cores, its miniature, of the same name in `jobs/studies/miniature/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SHIPPED_JOBS = Path(__file__).resolve().parent.parent / "jobs"


@dataclass(frozen=True)
class Shipped:
    """A shipped study, and what it says of itself in `about`; `title` is else the file's first comment line.

    `runs` is how many runs it has.
    """

    name: str
    path: Path
    title: str
    paper: str | None
    cost: str | None
    runs: int


def shipped_studies() -> dict[str, Path]:
    """The shipped study files by name, without the miniatures."""
    return _studies(SHIPPED_JOBS / "studies")


def miniatures() -> dict[str, Path]:
    """The miniatures' files by the names of their presets."""
    return _studies(SHIPPED_JOBS / "studies" / "miniature")


def described(studies: Mapping[str, Path]) -> dict[str, Shipped]:
    """What each of the study files says of itself, and how many runs it has."""
    return {name: _described(path) for name, path in studies.items()}


def _studies(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _described(path: Path) -> Shipped:
    from horovod_lb.study import load_study
    from horovod_lb.study.expand import count

    study = load_study(path)
    about = study.settings.about
    runs = count(study)
    if about is None:
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        return Shipped(study.name, path, first.removeprefix("#").strip(), None, None, runs)
    return Shipped(study.name, path, about.title, about.paper, about.cost, runs)
