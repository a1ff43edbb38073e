"""Checkpoint files: whole or passed over, of the right model or refused, and never more than asked for."""

from __future__ import annotations

import errno
import os
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import numpy as np
import pytest

from horovod_lb.errors import RunDirectoryError
from horovod_lb.training import checkpoint
from horovod_lb.training.checkpoint import BEST, Found, Position


def state(seed: int) -> list[Any]:
    stream = np.random.default_rng(seed)
    return [
        keras.Variable(stream.normal(size=(4, 3)).astype("float32"), name="kernel"),
        keras.Variable(int(stream.integers(2**40, 2**60)), dtype="int64", name="iteration"),
        keras.Variable(stream.integers(0, 2**32, 2, dtype=np.uint32), dtype="uint32", name="seed"),
        keras.Variable(np.array([np.pi, -0.0, np.inf, np.nan]), dtype="float64", name="sums"),
        keras.Variable(stream.normal(size=7).astype(ml_dtypes.bfloat16), dtype="bfloat16", name="half"),
        keras.Variable(np.zeros((0, 3), "float32"), name="empty"),
    ]


def values(variables: list[Any]) -> list[bytes]:
    return [np.asarray(variable).tobytes() for variable in variables]


def save(folder: Path, seed: int, position: Position) -> Path:
    variables = state(seed)
    path = checkpoint.file_of(folder, position.step)
    meta = {"position": asdict(position), "paths": [v.path for v in variables], "rows": [{"epoch": 1}]}
    checkpoint.write(path, [np.array(variable) for variable in variables], meta)
    return path


def load(folder: Path, variables: list[Any]) -> tuple[Found | None, list[str]]:
    found, damaged = checkpoint.find(folder)
    if found:
        checkpoint.fill(variables, found)
    return found, [one.path.name for one in damaged]


POSITION = Position(17, 2, (1 / 3, 5.0, 1e-300, 2.0**60), 0.1)


def test_every_bit_comes_back(tmp_path: Path) -> None:
    path = save(tmp_path / "new", 0, POSITION)
    assert path.name == "step-000000017.npz"
    read = state(1)
    found, damaged = load(tmp_path / "new", read)
    assert found is not None
    assert found.position == POSITION
    assert found.meta["rows"] == [{"epoch": 1}]
    assert damaged == []
    assert values(read) == values(state(0))


def test_the_file_is_one_that_numpy_reads_without_pickle(tmp_path: Path) -> None:
    with np.load(save(tmp_path, 3, POSITION), allow_pickle=False) as file:
        np.testing.assert_array_equal(file["v00000"], np.asarray(state(3)[0]))
        np.testing.assert_array_equal(file["v00001"], np.asarray(state(3)[1]))
        assert file["v00005"].shape == (0, 3)


def test_nothing_to_load(tmp_path: Path) -> None:
    untouched = state(1)
    assert load(tmp_path / "absent", untouched) == (None, [])
    assert values(untouched) == values(state(1))


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (5, 20, 90, 1000, 2_000_000_000):
        save(tmp_path, step, Position(step, 1))
        checkpoint.prune(tmp_path, step, keep=2)
    kept = ["step-000001000.npz", "step-2000000000.npz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept
    read = state(0)
    found, _ = load(tmp_path, read)
    assert found is not None
    assert found.position.step == 2_000_000_000
    assert values(read) == values(state(2_000_000_000))


def test_a_damaged_later_one_does_not_push_out_a_whole_one(tmp_path: Path) -> None:
    """Passed over, trained again from step 10, and saved at 15, on another number of ranks say."""
    for step in (10, 20):
        save(tmp_path, step, Position(step, 1))
    (tmp_path / "step-000000020.npz").write_bytes(b"damaged")
    save(tmp_path, 15, Position(15, 1))
    checkpoint.prune(tmp_path, 15, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000015.npz"]


@pytest.mark.parametrize("seed", range(90))
def test_a_damaged_newest_is_passed_over(tmp_path: Path, seed: int) -> None:
    """Cut anywhere, or bytes changed anywhere: the one before, or the right values; never wrong ones."""
    stream = random.Random(seed)
    save(tmp_path, 1, Position(1, 1))
    newest = save(tmp_path, 2, Position(2, 1))
    data = bytearray(newest.read_bytes())
    if seed % 3 == 0:
        data = data[: stream.randrange(len(data))]
    else:
        for _ in range(stream.choice([1, 40])):
            data[stream.randrange(len(data))] = stream.randrange(256)
    newest.write_bytes(data)
    read = state(9)
    found, damaged = load(tmp_path, read)
    assert found is not None
    assert (found.position.step, damaged) in ((2, []), (1, [newest.name]))
    assert values(read) == values(state(found.position.step))


def test_a_change_of_any_byte_is_noticed_or_does_no_harm(tmp_path: Path) -> None:
    path = save(tmp_path, 1, Position(1, 1))
    whole, right, noticed = path.read_bytes(), values(state(1)), 0
    for offset in range(len(whole)):
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 0x10]) + whole[offset + 1 :])
        found, damaged = checkpoint.find(tmp_path)
        noticed += len(damaged)
        assert found is None or [value.tobytes() for value in found.values] == right, offset
    assert noticed > len(whole) / 2


def test_the_best_is_the_last_resort(tmp_path: Path) -> None:
    path = save(tmp_path, 4, Position(4, 1))
    checkpoint.keep_as_best(path)
    save(tmp_path, 8, Position(8, 2))
    checkpoint.prune(tmp_path, 8, keep=1)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [BEST, "step-000000008.npz"]
    assert checkpoint.read(tmp_path / BEST).position.step == 4
    (tmp_path / "step-000000008.npz").write_bytes(b"")
    read = state(0)
    found, damaged = load(tmp_path, read)
    assert found is not None
    assert (found.position.step, damaged) == (4, ["step-000000008.npz"])
    assert values(read) == values(state(4))


@pytest.mark.parametrize("links", [True, False])
def test_a_better_one_takes_the_place_of_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refused(*paths: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:  # some network file systems have none
        monkeypatch.setattr(os, "link", refused)
    for step in (4, 8):
        path = save(tmp_path, step, Position(step, 1))
        checkpoint.keep_as_best(path)
        assert (tmp_path / BEST).read_bytes() == path.read_bytes()
        assert (tmp_path / BEST).samefile(path) is links
    assert len(list(tmp_path.iterdir())) == 3


def test_another_model_is_refused(tmp_path: Path) -> None:
    save(tmp_path, 1, POSITION)
    for other in (state(2)[:3], [*state(2)[:5], keras.Variable(np.zeros(5))]):
        before = values(other)
        with pytest.raises(
            RunDirectoryError, match=r"step-000000017\.npz holds 6 variables of another model"
        ):
            load(tmp_path, other)
        assert values(other) == before


def test_the_learning_rate_is_looked_up_and_not_restored() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build(model.trainable_variables)
    paths = [variable.path for variable in checkpoint.state_variables(model, optimizer)]
    assert not any("learning_rate" in path for path in paths)
    assert sum("momentum" in path for path in paths) == 2
    assert sum("iteration" in path for path in paths) == 1
