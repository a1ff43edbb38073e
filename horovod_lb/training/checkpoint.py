"""Checkpoints of a run: one file each, whole or absent, read without pickle.

A file is a `.npz` archive, uncompressed: `meta.json`, then the variables as `v00000.npy`, `v00001.npy`, ...
The archive holds a CRC-32 of each of them, and reading checks it.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from horovod_lb.errors import RunDirectoryError
from horovod_lb.runs.atomic import disk_errors, fsync_directory, replacing, temporary_beside

VERSION = 2
BEST = "best.npz"
_META = "meta.json"


@dataclass(frozen=True)
class Position:
    """Where training stands: `step` global steps done, `epoch` epochs ended, and the sums of the epoch begun.

    `epoch_sums` are the sums of `loss.count` since that epoch began, `epoch_seconds` its training time;
    `over`: there is nothing left to train.
    """

    step: int
    epoch: int
    epoch_sums: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    epoch_seconds: float = 0.0
    over: bool = False


@dataclass(frozen=True)
class Found:
    """A whole checkpoint: its file, what `meta.json` says, and the values of the variables."""

    path: Path
    meta: dict[str, Any]
    values: list[np.ndarray]

    @property
    def position(self) -> Position:
        """Where training stood."""
        return position_of(self.meta["position"])


@dataclass(frozen=True)
class Damaged:
    """A checkpoint that was passed over, and why."""

    path: Path
    reason: str


def position_of(saved: dict[str, Any]) -> Position:
    """The `Position` that JSON made a mapping of."""
    return Position(**{**saved, "epoch_sums": tuple(saved["epoch_sums"])})


def state_variables(model: Any, optimizer: Any) -> list[Any]:
    """What a checkpoint holds: all of the model's and the optimizer's variables but the learning rate.

    The rate is a function of the step, so that a recipe can be looked up, never restored.
    """
    return [*model.variables, *(v for v in optimizer.variables if not v.path.endswith("learning_rate"))]


def file_of(folder: Path, step: int) -> Path:
    """The checkpoint after `step` global steps."""
    return folder / f"step-{step:09d}.npz"


def write(
    path: Path,
    arrays: Sequence[np.ndarray],
    meta: dict[str, Any],
    fence: Callable[[], None] | None = None,
) -> None:
    """Write a checkpoint, atomically; `fence`: see `replacing`. Raises `DiskError`.

    `meta`: what JSON can hold, `paths` of the variables and `position` (a mapping) among it.
    """
    with disk_errors(path.parent, "there is no checkpoint"):
        path.parent.mkdir(parents=True, exist_ok=True)
    head = {"version": VERSION, "arrays": len(arrays), **meta}
    with replacing(path, fence) as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr(_META, json.dumps(head))
        for index, array in enumerate(arrays):
            with archive.open(zipfile.ZipInfo(_name(index)), "w", force_zip64=True) as member:
                _write_array(member, array)


def keep_as_best(path: Path) -> None:
    """Give the checkpoint `path` the second name `best.npz`, or make a copy where there are no links."""
    best = path.with_name(BEST)
    temporary = temporary_beside(best)
    with disk_errors(best, "it is left as it was"):
        try:
            os.link(path, temporary)
        except OSError:
            with path.open("rb") as source, replacing(best) as file:
                shutil.copyfileobj(source, file, 2**20)
            return
        temporary.replace(best)
        fsync_directory(path.parent)


def prune(folder: Path, step: int, keep: int) -> None:
    """Remove all but the newest `keep` up to `step`, which is whole; later ones are of a life left behind."""
    known = [path for path in newest_first(folder) if _step_of(path) <= step][:keep]
    for path in newest_first(folder):
        if path not in known:
            with disk_errors(path, "it stays"):
                path.unlink(missing_ok=True)


def find(folder: Path) -> tuple[Found | None, list[Damaged]]:
    """The newest whole checkpoint, None where there is none, and the files passed over on the way to it.

    `best.npz` is the last resort.
    """
    damaged: list[Damaged] = []
    for path in [*newest_first(folder), folder / BEST]:
        try:
            return read(path), damaged
        except FileNotFoundError:
            if path.name != BEST:
                # Whoever writes removes the oldest: there is a newer one by now.
                return find(folder)
        # Whatever a damaged file makes its reader raise.
        except Exception as error:
            damaged.append(Damaged(path, str(error) or type(error).__name__))
    return None, damaged


def read(path: Path) -> Found:
    """The checkpoint in the file `path`, every array checked. Raises whatever is wrong with a damaged one."""
    with zipfile.ZipFile(path) as archive:
        # `read` goes to the end of a member, and so compares its checksum before anything is parsed.
        meta = json.loads(archive.read(_META))
        if meta["version"] != VERSION:
            raise ValueError(f"it is of version {meta['version']}, not {VERSION}")
        names = [_name(index) for index in range(meta["arrays"])]
        if archive.namelist() != [_META, *names] or len(meta["paths"]) != len(names):
            raise ValueError("its table of contents is wrong")
        values = [np.lib.format.read_array(io.BytesIO(archive.read(name))) for name in names]
    return Found(path, meta, values)


def fill(variables: Sequence[Any], found: Found) -> None:
    """Put the values of a checkpoint into `variables`.

    Raises:
        RunDirectoryError: a checkpoint of another model or optimizer.
    """
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [value.shape for value in found.values]:
        raise RunDirectoryError(
            f"{found.path} holds {len(found.values)} variables of another model or optimizer "
            f"({len(shapes)} expected; first saved: {', '.join(found.meta['paths'][:3])}): the job script "
            "was changed since; remove the run's checkpoints to train it from the start"
        )
    for variable, value in zip(variables, found.values, strict=True):
        dtype = np.asarray(variable).dtype
        variable.assign(value if _is_numpys(dtype) else value.view(dtype))


def newest_first(folder: Path) -> list[Path]:
    """The checkpoints of single steps in `folder`."""
    return sorted(folder.glob("step-*.npz"), key=_step_of, reverse=True)


def _step_of(path: Path) -> int:
    digits = path.stem.removeprefix("step-")
    return int(digits) if digits.isdecimal() else -1


def _name(index: int) -> str:
    return f"v{index:05d}.npy"


def _is_numpys(dtype: np.dtype) -> bool:
    """bfloat16 is not: it travels as uint16."""
    return dtype.isbuiltin == 1


def _write_array(file: BinaryIO | Any, array: np.ndarray) -> None:
    array = np.asarray(array, order="C")
    array = array if _is_numpys(array.dtype) else array.view(f"u{array.itemsize}")
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
    if array.size:
        file.write(array.data.cast("B"))
