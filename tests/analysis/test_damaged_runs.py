"""Run folders as people and crashes leave them: nothing is lost in silence, nothing ends in a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_runs import METRICS, Folder

from horovod_lb.analysis import collect
from horovod_lb.analysis.provenance import provenance
from horovod_lb.analysis.record import SCHEMA, Record
from horovod_lb.analysis.rows import parse
from horovod_lb.runs import State
from horovod_lb.study import expand, load_study
from horovod_lb.study.expand import SCHEMA as WRITTEN


def only(folder: Folder) -> Record:
    (record,) = collect(folder.path).records
    return record


def metrics(folder: Folder, text: str | bytes, name: str = "a") -> Record:
    path = folder.run(name, {}, 0, [0.5, 0.6])
    (path / "metrics.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return only(folder)


ROWS = ["1,10,0.1,0.5,0.75,0.5,0.8,1000.0,2.0", "2,20,0.1,0.4,0.75,0.4,0.9,1000.0,2.0"]
WHOLE = "\n".join([METRICS, *ROWS, ""])


@pytest.mark.parametrize(
    "content",
    [
        WHOLE.replace("\n", "\r\n"),
        "\ufeff" + WHOLE,
        WHOLE.replace("\n", "\n\n"),
        "\ufeff" + WHOLE.replace("\n", "\r\n \r\n"),
        WHOLE + "3,30,0.1,0.5",  # being written
        WHOLE.replace("\n1,", "\n1.0,").replace(",0.8,", ", 0.8 ,"),
        "\n".join([METRICS, *reversed(ROWS), ""]),
        "\n".join([METRICS, "2,20,9,9,9,9,9,9,9", *ROWS, ""]),  # an epoch that was trained again
    ],
    ids=["CRLF", "BOM", "blank lines", "all of a spreadsheet's", "half a line", "1.0", "order", "twice"],
)
def test_a_spreadsheets_habits_change_nothing(folder: Folder, content: str) -> None:
    record = metrics(folder, content)
    assert [row["epoch"] for row in record.epochs] == [1, 2]
    assert [row["val_accuracy"] for row in record.epochs] == [0.8, 0.9]
    assert [row["step"] for row in record.epochs] == [10, 20]
    assert record.problems == ()


def test_text_among_numbers_is_left_empty_and_said(folder: Folder) -> None:
    record = metrics(folder, WHOLE.replace(",0.8,", ",n/a,"))
    assert [row["val_accuracy"] for row in record.epochs] == [None, 0.9]
    assert collect(folder.path).notes()[-1] == (
        "Run a: metrics.csv: 'n/a' in val_accuracy is no number and is left empty."
    )


def test_lines_that_are_no_rows_are_said(folder: Folder) -> None:
    record = metrics(folder, WHOLE + "3,30\n# a remark\n4,40,0.1,0.3,0.75,0.3,0.95,1000.0,2.0,5,6\n")
    assert len(record.epochs) == 2
    assert record.problems == ("metrics.csv: 3 lines (4, 5, 6) are no row of the table (9 cells)",)


def test_a_stray_quote_costs_its_own_line_only(folder: Folder) -> None:
    record = metrics(folder, WHOLE.replace("1,10", '"1,10'))
    assert [row["epoch"] for row in record.epochs] == [2]
    assert record.problems == ("metrics.csv: line 2 is no row of the table (9 cells)",)


def test_without_the_column_epoch_nothing_is_guessed(folder: Folder) -> None:
    record = metrics(folder, WHOLE.replace("epoch,", "period,"))
    assert len(record.epochs) == 0
    assert record.problems == ("metrics.csv: there is no column epoch, so its rows are left out",)
    assert record.state is State.COMPLETED


def test_a_row_without_its_epoch_is_said(folder: Folder) -> None:
    record = metrics(folder, WHOLE + "last,30,0.1,0.5,0.75,0.5,0.8,1000.0,2.0\n")
    assert [row["epoch"] for row in record.epochs] == [1, 2]
    assert record.problems == (
        "metrics.csv: 'last' in epoch is no number and is left empty",
        "metrics.csv: 1 row without a number of the epoch is left out",
    )


def test_missing_columns_and_columns_of_a_newer_version(folder: Folder) -> None:
    record = metrics(folder, "epoch,val_accuracy,entropy,remark\n1,0.8,3.5,warm\n2,0.9,4.5,\n")
    assert (record.last("val_accuracy"), record.last("train_loss")) == (0.9, None)
    results = collect(folder.path)
    assert results.tables["epochs"].columns[-2:] == ("entropy", "remark")
    (row,) = results.tables["runs"].rows
    assert (row["entropy"], row["remark"], row["final_val_accuracy"]) == (4.5, "warm", 0.9)
    assert results.notes() == ["1 run: 1 completed."]


def test_a_newer_schema_is_said_and_read_as_far_as_it_is_known(folder: Folder) -> None:
    folder.run("a", {"recipe.batch_size": 64}, 0, [0.5], schema=SCHEMA + 1, colour="green")
    folder.run("b", {"recipe.batch_size": 64}, 1, [0.7], schema=SCHEMA + 1)
    results = collect(folder.path)
    assert results.tables["accuracy"].rows[0]["mean"] == pytest.approx(0.6)
    assert results.notes()[-1] == (
        f"2 runs: a, b: run.json has schema {SCHEMA + 1} of a newer horovod_lb; this one knows {SCHEMA}."
    )


def test_the_schema_is_the_one_that_studies_write() -> None:
    assert SCHEMA == WRITTEN


@pytest.mark.parametrize("content", ['{"run_id": "dam', "", "[]", '{"point": 3}', '{"derived": ["x"]}'])
def test_a_damaged_run_json_keeps_its_row_and_is_said(folder: Folder, content: str) -> None:
    folder.run("good", {"recipe.batch_size": 64}, 0, [0.5])
    (folder.run("bad", {"recipe.batch_size": 64}, 1, [0.7]) / "run.json").write_text(content)
    results = collect(folder.path)
    states = {row["run_id"]: row["state"] for row in results.tables["runs"].rows}
    assert states == {"good": "completed", "bad": "unknown"}
    assert "Run bad: run.json is missing or damaged: it counts for no point." in results.notes()


def test_a_study_file_stands_in_for_a_damaged_run_json(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("def main(run): ...\n")
    study = tmp_path / "little.yaml"
    study.write_text(
        "name: little\njob: train.py\nmodel: {name: lenet}\ndata: {name: digits}\nresources: {workers: 2}\n"
        "recipe: {epochs: 2, batch_size: 16, reference: {batch_size: 16, learning_rate: 0.1}}\n"
        "axes: {recipe.batch_size: [16, 64]}\n"
    )
    path = tmp_path / "runs" / "little"
    for spec in expand(load_study(study)):
        made = Folder(path).run(spec.run_id, accuracies=[0.9])
        (made / "run.json").write_text(json.dumps(spec.spec))
    (made / "run.json").write_text("{")
    results = collect(study, [tmp_path / "runs"])
    assert [row["n"] for row in results.tables["accuracy"].rows] == [1, 1]
    assert f"Run {made.name}: run.json is missing or damaged; the study file has the same." in results.notes()


def test_many_damages_are_told_in_a_few_sentences(folder: Folder) -> None:
    for number in range(30):
        path = folder.run(f"r{number:02}", {}, number, [0.5])
        (path / "metrics.csv").write_text(WHOLE.replace(",0.8,", f",{'x' * (number % 12 + 1)},"))
    notes = collect(folder.path).notes()
    assert len(notes) == 1 + 10 + 1
    assert notes[-1] == "And 2 more of this kind."


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.just("text"), st.just([]), st.just({}), st.just([1, {}]),
    st.just({"a": "b"}), st.floats(-1e9, 1e9),
)  # fmt: skip


def spoiled(content: Any, draw: Any) -> Any:
    """The same JSON with one value, somewhere, replaced by another."""
    if isinstance(content, dict) and content and draw(st.integers(0, 5)):
        name = draw(st.sampled_from(sorted(content)))
        return {**content, name: spoiled(content[name], draw)}
    return draw(JUNK)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    name=st.sampled_from(["run.json", "exit.json", "events.jsonl", "segments/1/provenance.json"]),
)
def test_no_value_of_the_wrong_kind_ends_in_a_traceback(
    data: st.DataObject, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = Folder(tmp_path_factory.mktemp("spoiled"))
    about = {
        "host": "n", "ranks": 2, "ranks_on_host": 1, "gpu": [], "time": 1.0,
        "source": {"commit": "c", "dirty": True, "changes_sha256": "x", "changed_files": ["a"]},
        "versions": {"horovod_lb": "1"}, "job": {"name": "j", "sha256": "s"},
    }  # fmt: skip
    end = {"wall_seconds": 5.0, "test_accuracy": 0.5, "compute_seconds": 3.0, "allreduce_seconds": 1.0}
    for seed in (0, 1):
        path = folder.run(
            f"r{seed}", {"recipe.batch_size": 64}, seed, [0.5, 0.9], exit=end, provenance=about,
            model={"name": "lenet"}, derived={"batch_size": 64, "classes": 10, "val_examples": 100},
        )  # fmt: skip
        (path / "events.jsonl").write_text('{"time": 1.0, "life": 1, "kind": "begin"}\n')
    file = path / name
    file.write_text(json.dumps(spoiled(json.loads(file.read_text()), data.draw)) + "\n")
    results = collect(folder.path, allow_dirty=True)
    rows = {row["run_id"]: row for row in results.tables["runs"].rows}
    assert len(rows) == 2
    assert rows["r0"]["final_val_accuracy"] == 0.9
    results.presented()
    results.notes()
    json.dumps(provenance(results.source, results.records, {}))


@given(data=st.binary(max_size=200) | st.text('1,.\n\r"ena;x', max_size=60).map(str.encode))
def test_any_bytes_are_read_somehow(data: bytes) -> None:
    rows, problems = parse(b"epoch,val_accuracy\n1,0.5\n" + data)
    epochs = [row["epoch"] for row in rows]
    assert epochs == sorted(set(epochs))
    assert all(isinstance(epoch, int) for epoch in epochs)
    assert all(isinstance(text, str) for text in problems)
