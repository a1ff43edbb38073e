"""`hlb verify`: which tables are not what the runs say, and how that is told from runs that are gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from made_runs import Folder

from horovod_lb.analysis import collect
from horovod_lb.analysis.verify import verify
from horovod_lb.errors import RequestError


@pytest.fixture
def out(batch_by_warmup: Folder, tmp_path: Path) -> Path:
    out = tmp_path / "out"
    collect(batch_by_warmup.path).write(out, parquet=True)
    return out


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1))


def test_tables_as_they_were_written_are_the_same(out: Path) -> None:
    verdict = verify(out)
    assert verdict.same
    assert {"runs.csv", "epochs.csv", "accuracy.csv", "best.csv", "tables/accuracy.tex"} <= set(
        verdict.checked
    )
    assert "runs.parquet" in verdict.checked
    assert verdict.hints == ()


def test_a_cell_edited_by_hand_is_named(out: Path) -> None:
    # Point 256/0 has 0.90, 0.92 and 0.94.
    replace(out / "accuracy.csv", "256,0,3,0.92,", "256,0,3,0.95,")
    replace(out / "epochs.csv", "a1,2,20,0.1,0.5,0.75,0.5,0.92", "a1,2,20,0.1,0.5,0.75,0.5,0.93")
    verdict = verify(out)
    assert set(verdict.edited) == {"accuracy.csv", "epochs.csv"}
    assert verdict.differences == {
        "accuracy.csv": [
            "row recipe.batch_size 256, recipe.warmup.epochs 0, column mean: there is 0.95, should be 0.92"
        ],
        "epochs.csv": ["row run_id a1, epoch 2, column val_accuracy: there is 0.93, should be 0.92"],
    }


def test_rows_and_columns_that_were_taken_out_or_put_in(out: Path) -> None:
    lines = (out / "runs.csv").read_text().splitlines()
    taken = next(number for number, line in enumerate(lines) if line.startswith("b1,"))
    lines[taken] = lines[taken].replace("b1,", "mine,")
    (out / "runs.csv").write_text(
        "\n".join([f"{lines[0]},more", *(f"{line},1" for line in lines[1:])]) + "\n"
    )
    (out / "best.csv").unlink()
    found = verify(out).differences
    assert found["runs.csv"] == [
        "column more should not be there",
        "row run_id b1 is missing",
        "row run_id mine should not be there",
    ]
    assert found["best.csv"] == ["the file is missing"]


def test_a_table_for_people_and_one_in_parquet(out: Path) -> None:
    replace(out / "tables" / "accuracy.md", "92.00", "97.00")
    shutil.copy(out / "best.parquet", out / "accuracy.parquet")
    found = verify(out).differences
    assert set(found) == {"tables/accuracy.md", "accuracy.parquet"}
    assert "97.00" in found["tables/accuracy.md"][0]
    (out / "accuracy.parquet").write_bytes(b"no parquet")
    assert "column n is missing" in verify(out).differences["accuracy.parquet"]


def test_runs_that_went_on_are_no_edit(out: Path, batch_by_warmup: Folder) -> None:
    exit_json = batch_by_warmup.path / "d2" / "exit.json"
    exit_json.write_text(json.dumps({"state": "completed", "life": 1, "time": 1.8e9}))
    verdict = verify(out)
    assert verdict.edited == ()
    assert (
        "row run_id d2, column state: there is failed, should be completed" in verdict.differences["runs.csv"]
    )
    assert verdict.hints == (
        "There were 9 completed, 2 diverged, 1 failed; now there are 10 completed, 2 diverged.",
    )


def test_runs_that_are_gone_are_said_apart_from_edits(out: Path, batch_by_warmup: Folder) -> None:
    moved = batch_by_warmup.path.rename(batch_by_warmup.path.with_name("moved"))
    verdict = verify(out)
    assert verdict.gone is not None
    assert "is neither a study file" in verdict.gone
    assert (verdict.differences, verdict.edited, verdict.same) == ({}, (), False)
    replace(out / "runs.csv", "completed", "failed")
    (out / "best.csv").unlink()
    verdict = verify(out)
    assert (verdict.edited, verdict.differences) == (("runs.csv",), {"best.csv": ["the file is missing"]})
    # Told where they are, it makes the tables again.
    assert verify(out, target=moved).gone is None


def test_what_was_asked_is_asked_again(batch_by_warmup: Folder, tmp_path: Path) -> None:
    collect(batch_by_warmup.path, where="recipe.batch_size == 256").write(tmp_path / "some")
    assert verify(tmp_path / "some").same


def test_folders_that_hold_no_results(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"holds no provenance\.json of `hlb collect`"):
        verify(tmp_path)
    (tmp_path / "provenance.json").write_text(json.dumps({"tables_sha256": {"runs.csv": "0"}}))
    verdict = verify(tmp_path)
    assert verdict.gone == "its provenance.json does not say what was collected; say it with --study"
