"""Checkpoints of a run: one file each, whole or absent, read without pickle."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from horovod_lb.errors import RunDirectoryError
from horovod_lb.runs.atomic import write_bytes

_META = "meta"


@dataclass(frozen=True)
class Position:
    """Where training stands: `step` global steps done, `epoch` epochs ended, and the sums of the epoch begun.

    `epoch_sums` are the sums of `loss.count` since that epoch began, `epoch_seconds` its training time.
    """

    step: int
    epoch: int
    epoch_sums: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    epoch_seconds: float = 0.0


def state_variables(model: Any, optimizer: Any) -> list[Any]:
    """What a checkpoint holds: all of the model's and the optimizer's variables but the learning rate.

    The rate is a function of the step, so that a recipe can be looked up, never restored.
    """
    return [*model.variables, *(v for v in optimizer.variables if not v.path.endswith("learning_rate"))]


def save(folder: Path, variables: Sequence[Any], position: Position, keep: int) -> Path:
    """Write the checkpoint of `position` atomically, then remove all but the newest `keep`."""
    paths = [variable.path for variable in variables]
    meta = {"version": 1, "paths": paths, **position.__dict__}
    arrays: dict[str, Any] = {
        f"v{index:05d}": np.asarray(variable) for index, variable in enumerate(variables)
    }
    arrays[_META] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{position.step:09d}.npz"
    write_bytes(target, buffer.getvalue())
    for old in _newest_first(folder)[keep:]:
        old.unlink(missing_ok=True)
    return target


def load(folder: Path, variables: Sequence[Any]) -> Position | None:
    """Put the newest whole checkpoint into `variables`; None where there is none.

    Raises:
        RunDirectoryError: a checkpoint of another model or optimizer.
    """
    for path in _newest_first(folder):
        try:
            with np.load(path, allow_pickle=False) as file:
                meta = json.loads(bytes(file[_META]).decode())
                values = [file[f"v{index:05d}"] for index in range(len(meta["paths"]))]
        except (OSError, EOFError, ValueError, KeyError, NotImplementedError, zipfile.BadZipFile):
            continue
        _fill(path, variables, meta["paths"], values)
        return Position(meta["step"], meta["epoch"], tuple(meta["epoch_sums"]), meta["epoch_seconds"])
    return None


def _fill(path: Path, variables: Sequence[Any], names: list[str], values: list[np.ndarray]) -> None:
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [value.shape for value in values]:
        raise RunDirectoryError(
            f"{path} holds {len(values)} variables of another model or optimizer ({len(shapes)} expected; "
            f"first saved: {', '.join(names[:3])}): the job script was changed since; remove the run's "
            "checkpoints to train it from the start"
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.npz"), reverse=True)
