"""docs/tables.md tells what every file and every column is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from made_runs import Folder

from horovod_lb.analysis import collect
from horovod_lb.runs import State

MANUAL = Path(__file__).resolve().parents[2] / "docs" / "tables.md"


def sections() -> dict[str, str]:
    """The manual's sections by title."""
    parts = re.split(r"^## ", MANUAL.read_text(), flags=re.MULTILINE)
    return {part.split("\n", 1)[0]: part for part in parts}


@pytest.mark.parametrize("name", ["runs", "epochs", "accuracy", "differences", "best"])
def test_every_column_is_explained_in_its_section(batch_by_warmup: Folder, name: str) -> None:
    results = collect(batch_by_warmup.path)
    (section,) = [text for title, text in sections().items() if title.startswith(f"`{name}.csv`")]
    explained = {
        word for quoted in re.findall(r"`([^`]+)`", section) for word in re.split(r"[^A-Za-z0-9_.]+", quoted)
    }
    columns = [column for column in results.tables[name].columns if column not in results.axes]
    assert [column for column in columns if column not in explained] == []


def test_every_file_and_state_is_named(batch_by_warmup: Folder, tmp_path: Path) -> None:
    text = MANUAL.read_text()
    collect(batch_by_warmup.path).write(tmp_path)
    names = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert {name for name in names if name not in text} == set()
    assert {state.value for state in State if state.value not in text} == set()
