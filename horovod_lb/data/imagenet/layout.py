"""How ImageNet lies on a disk: as TFRecord shards, or as JPEG files in a folder for each class.

Shards: `train-00000-of-01024` and `validation-00000-of-00128` (or `val-…`), in the root or in its subfolders
`train` and `validation` (or `val`). Class folders: `train/<class>/*.JPEG` and `val/<class>/*.JPEG`; instead
of the latter, `val/*.JPEG` with `val_labels.txt` beside it: a file's name and its class, or just the class,
on each line, in the order of the names.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from horovod_lb.data import files
from horovod_lb.errors import DataError

PARTS = {"train": ("train",), "validation": ("validation", "val")}
"""The parts, and the names that they go by."""
LABELS = "val_labels.txt"
HELP = (
    "the TFRecord shards train-00000-of-01024 … and validation-00000-of-00128 …, or the class folders "
    "train/<class>/*.JPEG and val/<class>/*.JPEG. ImageNet (ILSVRC 2012) comes from image-net.org; "
    "`hlb data prepare imagenet` makes shards of folders"
)
_SHARD = re.compile(r"(?P<part>train|validation|val)-(?P<number>\d{5})-of-(?P<total>\d{5})")
_PICTURE = (".jpeg", ".jpg", ".png")


@dataclass(frozen=True)
class Listing:
    """The files of one part in class folders, sorted: paths relative to `root`, and their classes from 0."""

    root: Path
    paths: tuple[str, ...]
    labels: tuple[int, ...]


def root_folder(root: str | None) -> Path:
    """The folder of the set: `root`, else $HLB_DATA, itself or its subfolder `imagenet`. DataError: none."""
    return files.folder(root, ("imagenet",), Path.is_dir, "ImageNet", HELP)


def shards(root: Path, part: str) -> list[Path]:
    """The shards of `part` in their order; [] where there are none. DataError: missing ones, or two sets."""
    for folder in (root, *(root / name for name in PARTS[part])):
        found: dict[int, dict[int, Path]] = {}
        for name in _names(folder):
            match = _SHARD.fullmatch(name)
            if match and match["part"] in PARTS[part]:
                found.setdefault(int(match["total"]), {})[int(match["number"])] = folder / name
        if not found:
            continue
        if len(found) > 1:
            totals = " and ".join(str(total) for total in sorted(found))
            raise DataError(f"{folder}: there are {part} shards of sets of {totals}; keep those of one set")
        ((total, paths),) = found.items()
        if missing := sorted(set(range(total)) - set(paths)):
            names = ", ".join(f"{part}-{number:05}-of-{total:05}" for number in missing[:5])
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise DataError(f"{folder}: of {total} {part} shards {len(missing)} are missing: {names}{more}")
        return [paths[number] for number in range(total)]
    return []


def classes(root: Path) -> list[str]:
    """The names of the class folders in `train`, sorted; none: an empty list."""
    try:
        with os.scandir(root / "train") as entries:
            return sorted(
                entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()
            )
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"{root / 'train'}: it cannot be read ({error.strerror})") from error


def listing(root: Path, part: str) -> Listing:
    """The pictures of `part` in class folders, by class and name; reads names alone.

    DataError: no such root; there are none; a class folder without a picture; a class in `val` that `train`
    has not; flat validation files without their labels.
    """
    names = classes(root)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; it is to hold {HELP}")
    if not names:
        raise DataError(
            f"{root}: there are neither shards nor class folders for {part}; it is to hold {HELP}"
        )
    folder = next((root / name for name in PARTS[part] if (root / name).is_dir()), None)
    if folder is None:
        raise DataError(f"{root}: there is no folder {' or '.join(PARTS[part])} with the {part} pictures")
    pictures = _pictures(folder)
    if pictures:
        return _flat(root, folder, pictures, names)
    inside = {name for name in _names(folder) if (folder / name).is_dir()}
    if unknown := sorted(inside - set(names)):
        raise DataError(f"{folder}: the class folder {unknown[0]} is not one of those in {root / 'train'}")
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        found = _pictures(folder / name)
        if not found:
            raise DataError(f"{folder / name}: the class folder holds no picture ({', '.join(_PICTURE)})")
        paths += [f"{folder.name}/{name}/{file}" for file in found]
        labels += [label] * len(found)
    return Listing(root, tuple(paths), tuple(labels))


def _flat(root: Path, folder: Path, pictures: list[str], names: list[str]) -> Listing:
    """Validation pictures in one folder, with their classes from `LABELS`."""
    where = next((path for path in (folder / LABELS, root / LABELS) if path.is_file()), None)
    if where is None:
        raise DataError(
            f"{folder}: its pictures are in no class folders, and there is no {LABELS} with a class for each"
        )
    lines = [line.split() for line in where.read_text(encoding="utf-8").splitlines() if line.strip()]
    if len(lines) != len(pictures):
        raise DataError(f"{where}: {len(lines):,} lines for {len(pictures):,} pictures")
    by_name = {line[0]: line[-1] for line in lines} if len(lines[0]) > 1 else {}
    number = {name: label for label, name in enumerate(names)}
    labels = []
    for line, picture in zip(lines, pictures, strict=True):
        name = by_name.get(picture, "") if by_name else line[0]
        if name not in number:
            raise DataError(
                f"{where}: {picture} has the class {name or 'of no line'}, which is no folder of train"
            )
        labels.append(number[name])
    return Listing(root, tuple(f"{folder.name}/{picture}" for picture in pictures), tuple(labels))


def _pictures(folder: Path) -> list[str]:
    return [name for name in _names(folder) if name.lower().endswith(_PICTURE)]


def _names(folder: Path) -> list[str]:
    """What is in `folder`, sorted, but hidden files; nothing where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"{folder}: it cannot be read ({error.strerror})") from error
