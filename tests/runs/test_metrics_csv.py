from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horovod_lb.runs import metrics

HEADER = "epoch,step,learning_rate,train_loss,train_accuracy,val_loss,val_accuracy,images_per_second,seconds"


def test_the_header_is_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    metrics.append(path, {"epoch": 1, "val_accuracy": 0.5})
    assert path.read_text() == f"{HEADER}\n1,,,,,,0.5,,\n"


def test_a_new_measurement_becomes_a_column_of_all_rows(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    metrics.append(path, {"epoch": 1, "val_loss": 2.0})
    metrics.append(path, {"epoch": 2, "noise_scale": 7.5})
    metrics.append(path, {"epoch": 3})
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["noise_scale"] for row in rows] == ["", "7.5", ""]
    assert rows[0]["val_loss"] == "2.0"
    assert list(rows[0]) == [*HEADER.split(","), "noise_scale"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(), min_size=1, max_size=5))
def test_floats_are_read_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    path = tmp_path_factory.mktemp("m") / "metrics.csv"
    for epoch, value in enumerate(values, 1):
        metrics.append(path, {"epoch": epoch, "train_loss": value})
    found = [row["train_loss"] for row in metrics.read(path)]
    assert all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(found, values, strict=True))
    assert [row["epoch"] for row in metrics.read(path)] == list(range(1, len(values) + 1))


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_row_cut_off_anywhere_is_ignored_and_replaced(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "metrics.csv"
    metrics.append(path, {"epoch": 1, "step": 10})
    metrics.append(path, {"epoch": 2, "step": 20})
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    assert [row["epoch"] for row in metrics.read(path)] == [1]
    metrics.append(path, {"epoch": 2, "step": 20})
    assert path.read_bytes() == data


def test_steps_are_appended_together_and_dropped_by_step(tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    metrics.append_steps(path, [])
    metrics.truncate(path, 3, "step")
    assert not path.exists()
    rows = [{"step": step, "distance": step / 3, "other": None} for step in range(1, 8)]
    metrics.append_steps(path, rows[:4])
    metrics.append_steps(path, rows[4:])
    assert path.read_text().splitlines()[0] == "step,distance,other"
    assert metrics.read(path) == rows
    metrics.truncate(path, 3, "step")
    assert metrics.read(path) == rows[:3]


@pytest.mark.parametrize("cut", range(1, 30))
def test_steps_cut_off_anywhere_leave_whole_rows(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "steps.csv"
    rows = [{"step": step, "distance": 1.5} for step in range(1, 8)]
    metrics.append_steps(path, rows[:2])
    metrics.append_steps(path, rows[2:])
    path.write_bytes(path.read_bytes()[:-cut])
    found = metrics.read(path)
    assert found == rows[: len(found)] and len(found) >= 7 - (cut + 5) // 6
    metrics.truncate(path, len(found), "step")
    metrics.append_steps(path, rows[len(found) :])
    assert metrics.read(path) == rows


def test_a_header_cut_off_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,st")
    assert metrics.read(path) == []
    metrics.append(path, {"epoch": 1})
    assert path.read_text() == f"{HEADER}\n1{',' * 8}\n"


@pytest.mark.parametrize(("epoch", "kept"), [(0, []), (2, [1, 2]), (3, [1, 2, 3]), (9, [1, 2, 3])])
def test_rows_after_an_epoch_are_dropped(tmp_path: Path, epoch: int, kept: list[int]) -> None:
    path = tmp_path / "metrics.csv"
    for number in (1, 2, 3):
        metrics.append(path, {"epoch": number, "noise_scale": number / 3})
    metrics.truncate(path, epoch)
    assert [row["epoch"] for row in metrics.read(path)] == kept
    metrics.append(path, {"epoch": 4, "noise_scale": 4 / 3})
    assert [row["noise_scale"] for row in metrics.read(path)] == [*(number / 3 for number in kept), 4 / 3]


def test_the_last_row_is_that_of_the_whole_table(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    assert metrics.last(path) == {}
    path.write_text(HEADER + "\n")
    assert metrics.last(path) == {}
    for epoch in (1, 2):
        metrics.append(path, {"epoch": epoch, "val_accuracy": epoch / 3})
    with path.open("a") as file:
        file.write("3,30,0.1")
    assert metrics.last(path) == metrics.read(path)[-1]
    assert metrics.last(path)["epoch"] == 2


def test_without_a_file_there_are_no_rows(tmp_path: Path) -> None:
    assert metrics.read(tmp_path / "metrics.csv") == []
    metrics.truncate(tmp_path / "metrics.csv", 3)
    assert not (tmp_path / "metrics.csv").exists()


def test_texts_keep_commas_and_quotes_and_lose_line_breaks(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    metrics.append(path, {"epoch": 1, "note": 'a, "b"\nc'})
    assert metrics.read(path)[0]["note"] == 'a, "b" c'
