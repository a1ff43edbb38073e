"""Checkpoints: whole or passed over, of the right model or refused, and never more than asked for."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from horovod_lb.errors import RunDirectoryError
from horovod_lb.training import checkpoint
from horovod_lb.training.checkpoint import Position


def state(seed: int) -> list[Any]:
    stream = np.random.default_rng(seed)
    return [
        keras.Variable(stream.normal(size=(4, 3)).astype("float32"), name="kernel"),
        keras.Variable(int(stream.integers(2**40, 2**60)), dtype="int64", name="iteration"),
        keras.Variable(stream.integers(0, 2**32, 2, dtype=np.uint32), dtype="uint32", name="seed"),
        keras.Variable(np.array([np.pi, -0.0, np.inf, np.nan]), dtype="float64", name="sums"),
    ]


def values(variables: list[Any]) -> list[bytes]:
    return [np.asarray(variable).tobytes() for variable in variables]


POSITION = Position(17, 2, (1 / 3, 5.0, 1e-300, 2.0**60), 0.1)


def test_every_bit_comes_back(tmp_path: Path) -> None:
    written = state(0)
    path = checkpoint.save(tmp_path / "new", written, POSITION, keep=2)
    assert path.name == "step-000000017.npz"
    read = state(1)
    assert checkpoint.load(tmp_path / "new", read) == POSITION
    assert values(read) == values(written)


def test_nothing_to_load(tmp_path: Path) -> None:
    untouched = state(1)
    assert checkpoint.load(tmp_path / "absent", untouched) is None
    assert values(untouched) == values(state(1))


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (5, 90, 1000, 20):
        checkpoint.save(tmp_path, state(step), Position(step, 1), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000090.npz", "step-000001000.npz"]
    read = state(0)
    assert checkpoint.load(tmp_path, read) == Position(1000, 1)
    assert values(read) == values(state(1000))


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_newest_is_passed_over(tmp_path: Path, seed: int) -> None:
    """Cut anywhere, or bytes changed anywhere: the one before, or the right values; never wrong ones."""
    stream = random.Random(seed)
    checkpoint.save(tmp_path, state(1), Position(1, 1), keep=3)
    newest = checkpoint.save(tmp_path, state(2), Position(2, 1), keep=3)
    data = bytearray(newest.read_bytes())
    if seed % 3 == 0:
        data = data[: stream.randrange(len(data))]
    else:
        for _ in range(stream.choice([1, 40])):
            data[stream.randrange(len(data))] = stream.randrange(256)
    newest.write_bytes(data)
    read = state(9)
    position = checkpoint.load(tmp_path, read)
    assert position in (Position(1, 1), Position(2, 1))
    assert position is not None
    assert values(read) == values(state(position.step))


def test_another_model_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, state(1), POSITION, keep=1)
    for other in (state(2)[:3], [*state(2)[:3], keras.Variable(np.zeros(5))]):
        before = values(other)
        with pytest.raises(
            RunDirectoryError, match=r"step-000000017\.npz holds 4 variables of another model"
        ):
            checkpoint.load(tmp_path, other)
        assert values(other) == before


def test_the_learning_rate_is_looked_up_and_not_restored() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build(model.trainable_variables)
    paths = [variable.path for variable in checkpoint.state_variables(model, optimizer)]
    assert not any("learning_rate" in path for path in paths)
    assert sum("momentum" in path for path in paths) == 2
    assert sum("iteration" in path for path in paths) == 1
