"""Published results that ship with the project: what they say is what the papers say."""

from __future__ import annotations

import pytest

from horovod_lb.analysis.published import published, published_names

# You et al. 2020, Table 1: team, date, accuracy in percent, minutes.
RECORDS = [
    ("He et al.", "2015-12-10", 75.3, 29 * 60),
    ("Goyal et al.", "2017-06-08", 76.3, 65),
    ("You et al.", "2017-11-02", 75.3, 48),
    ("You et al.", "2017-11-07", 75.3, 31),
    ("Akiba et al.", "2017-11-12", 74.9, 15),
    ("You et al.", "2017-12-07", 74.9, 14),
    ("Jia et al.", "2018-07-30", 75.8, 6.6),
    ("Mikami et al.", "2018-11-14", 75.0, 3.7),
    ("Ying et al.", "2018-11-16", 76.3, 2.2),
    ("Yamazaki et al.", "2019-03-29", 75.1, 1.25),
    ("Kumar et al.", "2019-10-02", 75.9, 67.1 / 60),
]


def test_the_speed_records_are_those_of_the_paper() -> None:
    records = published("speed-records")
    assert records is not None
    rows = [row for row in records.rows if row["date"]]
    assert [(row["team"], row["date"]) for row in rows] == [row[:2] for row in RECORDS]
    assert [100 * row["final_val_accuracy"] for row in rows] == pytest.approx([row[2] for row in RECORDS])
    assert [row["wall_seconds"] / 60 for row in rows] == pytest.approx([row[3] for row in RECORDS])


def test_cells_have_types() -> None:
    records = published("speed-records")
    assert records is not None
    first, goyal = records.rows[0], records.rows[4]
    assert (first["gpus"], first["wall_seconds"], first["optimizer"]) == (1, 10 * 24 * 3600, None)
    assert (goyal["batch_size"], goyal["final_val_accuracy"]) == (8192, 0.763)


@pytest.mark.parametrize("name", published_names())
def test_every_set_is_whole(name: str) -> None:
    found = published(name)
    assert found is not None and found.title and found.source and found.rows
    assert all(len(row) == len(found.table.columns) and None not in row for row in found.rows)
    assert all(row["where"] for row in found.rows)
    fractions = [
        value for row in found.rows for column, value in row.items() if column.endswith("accuracy") and value
    ]
    assert all(0 < value <= 1 for value in fractions)


def test_a_name_that_there_is_not() -> None:
    assert published("no-such-paper") is None
    assert published("../published/speed-records") is None
