"""Which runs are collected: a real study file, folders, several runs folders."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from made_runs import Folder

from horovod_lb import RunLogger
from horovod_lb.analysis import collect
from horovod_lb.errors import RequestError, StudyError
from horovod_lb.study import baseline_runs, expand, load_study

STUDY = """
name: little
job: train.py
model: {name: lenet}
data: {name: digits}
resources: {workers: 2}
recipe:
  epochs: 2
  batch_size: 16
  reference: {batch_size: 16, learning_rate: 0.1}
baseline: {recipe.batch_size: 16}
axes:
  recipe.batch_size: [64, 16]
seeds: [0, 1, 2]
report: {figures: [final_accuracy]}
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text("def main(run): ...\n")
    path = tmp_path / "little.yaml"
    path.write_text(STUDY)
    return path


def finish(
    root: Path, spec: dict[str, object], accuracy: float, epochs: int = 2, state: str = "completed"
) -> None:
    """A run folder of the study, written by hand."""
    folder = root / str(spec["study"]) / str(spec["run_id"])
    (folder / "segments" / "1").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(spec))
    lines = ["epoch,train_loss,val_accuracy", *(f"{epoch},0.5,{accuracy}" for epoch in range(1, epochs + 1))]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    (folder / "exit.json").write_text(json.dumps({"state": state, "life": 1}))


def test_a_study_counts_what_it_plans_and_has_no_result_yet(study: Path, tmp_path: Path) -> None:
    specs = expand(load_study(study))
    values = {(16, 0): 0.9, (16, 1): 0.8, (16, 2): 0.7, (64, 0): 0.95}
    for spec in specs:
        if (value := values.get((spec.point["recipe.batch_size"], spec.seed))) is not None:
            finish(tmp_path / "runs", spec.spec, value)
    results = collect(study, [tmp_path / "runs"])
    assert len(results.records) == 6
    rows = csv.DictReader(io.StringIO(results.tables["accuracy"].to_csv()))
    names = ("recipe.batch_size", "n", "mean", "std", "ci95_low", "ci95_high", "n_diverged", "n_missing")
    assert [",".join(row[name] for name in names) for row in rows] == [
        # 0.8 ± 4.302652730·0.1/√3
        "16,3,0.8,0.1,0.5515862288,1.048413771,0,0",
        "64,1,0.95,,,,0,2",
    ]
    (difference,) = csv.DictReader(io.StringIO(results.tables["differences"].to_csv()))
    assert [difference[name] for name in ("recipe.batch_size", "n", "mean_difference")] == ["64", "1", "0.05"]
    assert results.notes()[:2] == [
        "6 runs: 2 planned, 4 completed.",
        "2 have no result yet; the tables hold what there is.",
    ]
    assert results.source.figures == ("final_accuracy",)


def test_planned_runs_are_rows_with_their_recipe(study: Path, tmp_path: Path) -> None:
    results = collect(study, [tmp_path / "runs"])
    rows = results.tables["runs"].rows
    assert [(row["state"], row["batch_size"], row["seed"]) for row in rows] == [
        ("planned", batch, seed) for batch in (16, 64) for seed in (0, 1, 2)
    ]
    assert rows[0]["learning_rate_peak"] == 0.1
    assert results.tables["epochs"].rows == []


def test_runs_of_an_earlier_form_of_the_study_are_left_out_and_said(study: Path, tmp_path: Path) -> None:
    for spec in expand(load_study(study)):
        finish(tmp_path / "runs", spec.spec, 0.9)
    study.write_text(STUDY.replace("[64, 16]", "[16]"))
    results = collect(study, [tmp_path / "runs"])
    assert len(results.records) == 3
    assert any("3 run folders" in note and "no point of little.yaml" in note for note in results.notes())
    assert len(collect(tmp_path / "runs" / "little").records) == 6


def test_overrides_find_the_runs_that_were_made_with_them(study: Path, tmp_path: Path) -> None:
    for spec in expand(load_study(study, ["recipe.epochs=3"])):
        finish(tmp_path / "runs", spec.spec, 0.9)
    found = collect(study, [tmp_path / "runs"], overrides=["recipe.epochs=3"])
    assert {record.state.value for record in found.records} == {"completed"}
    assert {record.state.value for record in collect(study, [tmp_path / "runs"]).records} == {"planned"}


def test_of_two_copies_the_one_that_got_further_counts(study: Path, tmp_path: Path) -> None:
    spec = expand(load_study(study))[0].spec
    finish(tmp_path / "one", spec, 0.5, epochs=1, state="stopped")
    finish(tmp_path / "two", spec, 0.9)
    for roots in (["one", "two"], ["two", "one"]):
        results = collect(study, [tmp_path / root for root in roots])
        (record,) = [record for record in results.records if record.epochs]
        assert (record.state.value, record.last("val_accuracy")) == ("completed", 0.9)
        assert any("more than one place" in note for note in results.notes())


def test_folders_of_scripts_that_share_a_name_are_different_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for root, accuracy in (("one", 0.8), ("two", 0.9)):
        with RunLogger(tmp_path / root / "mine" / "run", batch_size=64, seed=int(accuracy * 10)) as logger:
            logger.epoch(1, val_accuracy=accuracy)
    monkeypatch.chdir(tmp_path)
    results = collect("mine", [Path("one"), Path("two")])
    assert [record.last("val_accuracy") for record in results.records] == [0.8, 0.9]


@pytest.mark.parametrize("name", ["../../elsewhere", "a/b", "..", "<b>"])
def test_a_name_that_is_no_file_name_leads_nowhere_else(folder: Folder, tmp_path: Path, name: str) -> None:
    folder.run("a", {}, 0, [0.5], study=name)
    results = collect(folder.path)
    assert (results.source.name, results.source.file_name) == (name, "runs")
    results.write(tmp_path / "out")
    assert "tab:runs-accuracy" in (tmp_path / "out" / "tables" / "accuracy.tex").read_text()


def test_where_keeps_the_runs_for_which_it_holds(batch_by_warmup: Folder) -> None:
    results = collect(
        batch_by_warmup.path, where="recipe.batch_size == 256 and seed < 2 or state == 'failed'"
    )
    assert [record.run_id for record in results.records] == ["a0", "a1", "b0", "b1", "d2"]
    with pytest.raises(RequestError, match="holds for none of 12 runs"):
        collect(batch_by_warmup.path, where="seed > 7")
    with pytest.raises(StudyError, match="sead"):
        collect(batch_by_warmup.path, where="sead > 7")


def test_a_studys_name_is_looked_up_under_the_runs_folder(
    batch_by_warmup: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HLB_RUNS", str(batch_by_warmup.path.parent))
    monkeypatch.chdir(batch_by_warmup.path)
    assert len(collect("made").records) == 12


def test_requests_that_mean_nothing(tmp_path: Path, batch_by_warmup: Folder) -> None:
    with pytest.raises(RequestError, match=r"nothing is neither a study file .* nor a study under"):
        collect("nothing", [tmp_path])
    with pytest.raises(RequestError, match="holds the studies made: collect one of these"):
        collect(batch_by_warmup.path.parent)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match="holds no run folders"):
        collect(tmp_path / "empty")
    with pytest.raises(RequestError, match="--runs goes with a study"):
        collect(batch_by_warmup.path, [tmp_path])
    with pytest.raises(RequestError, match="--set changes a study file"):
        collect(batch_by_warmup.path, overrides=["recipe.epochs=3"])


def test_a_study_that_grew_on_two_machines_is_one(study: Path, tmp_path: Path) -> None:
    accuracies = {16: 0.8, 64: 0.9, 256: 0.7}
    done: dict[str, str] = {}
    for machine, sizes, seeds in (("one", "[16, 64]", "[0]"), ("two", "[16, 64, 256]", "[0, 1]")):
        study.write_text(STUDY.replace("[64, 16]", sizes).replace("[0, 1, 2]", seeds))
        for spec in expand(load_study(study)):
            if spec.run_id not in done:
                finish(tmp_path / machine, spec.spec, accuracies[spec.point["recipe.batch_size"]])
                done[spec.run_id] = machine
    assert sorted(done.values()) == ["one"] * 2 + ["two"] * 4
    results = collect(study, [tmp_path / "one", tmp_path / "two"])
    rows = csv.DictReader(io.StringIO(results.tables["accuracy"].to_csv()))
    assert [(row["recipe.batch_size"], row["n"], row["mean"]) for row in rows] == [
        ("16", "2", "0.8"),
        ("64", "2", "0.9"),
        ("256", "2", "0.7"),
    ]
    assert results.notes()[0] == "6 runs: 6 completed."
    # By name, without the study file, the same runs are found.
    by_name = collect("little", [tmp_path / "one", tmp_path / "two"])
    assert by_name.tables["runs"].to_csv() == results.tables["runs"].to_csv()


def test_runs_of_several_studies_are_told_apart(folder: Folder) -> None:
    folder.run("a", {"recipe.batch_size": 64}, 0, [0.5], study="one")
    folder.run("b", {"recipe.scaling": "linear"}, 0, [0.6], study="two")
    results = collect(folder.path)
    assert [row["n"] for row in results.tables["accuracy"].rows] == [1, 1]
    assert "The runs are of 2 studies: one, two." in results.notes()


def test_one_run_has_all_tables(folder: Folder, tmp_path: Path) -> None:
    folder.run("a", {"recipe.batch_size": 64}, 0, [0.5])
    results = collect(folder.path)
    results.write(tmp_path / "out")
    (row,) = csv.DictReader(io.StringIO(results.tables["accuracy"].to_csv()))
    assert (row["n"], row["mean"], row["std"]) == ("1", "0.5", "")
    assert results.notes() == ["1 run: 1 completed."]


def test_a_baseline_may_name_a_section(study: Path) -> None:
    optimizers = "recipe.optimizer: [{kind: momentum}, {kind: lars, coefficient: 0.01}]"
    text = STUDY.replace("recipe.batch_size: [64, 16]", optimizers)
    study.write_text(text.replace("{recipe.batch_size: 16}", "{recipe.optimizer: {kind: momentum}}"))
    loaded = load_study(study)
    (name,) = {run.point["recipe.optimizer"] for run in baseline_runs(loaded, expand(loaded))}
    assert name == "kind=momentum"
    results = collect(study, [study.parent / "runs"])
    (row,) = results.tables["differences"].rows
    assert row["recipe.optimizer"] == "kind=lars, coefficient=0.01"
    assert not any("No point is the baseline" in note for note in results.notes())
