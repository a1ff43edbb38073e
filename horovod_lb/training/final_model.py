"""The trained model as one `.keras` file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras


def save(model: keras.Model, path: Path) -> None:
    """Writes `model` without its optimizer to `path`: whole, or not at all (OSError).

    Where it has no layers of this project, `keras.models.load_model` reads it without `horovod_lb`.
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with _without_optimizer(model):
            model.save(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _without_optimizer(model: keras.Model) -> Iterator[None]:
    """A compiled model would want the optimizer's class, and all of its state, to be loaded again."""
    optimizer, compiled = model.optimizer, model.compiled
    model.optimizer, model.compiled = None, False
    try:
        yield
    finally:
        model.optimizer, model.compiled = optimizer, compiled
