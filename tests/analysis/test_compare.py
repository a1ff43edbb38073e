"""Two sets of runs beside each other: differences computed by hand, how points are matched, what differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_runs import Folder

from horovod_lb.analysis import collect, results_from_tables
from horovod_lb.analysis.compare import Comparison, compare
from horovod_lb.analysis.parting import part
from horovod_lb.errors import RequestError

BATCH, WARMUP, RHO = "recipe.batch_size", "recipe.warmup.epochs", "recipe.sam.rho"
SIDE = "n_{0},mean_{0},std_{0},n_diverged_{0},n_missing_{0},n_chance_{0},n_unstable_{0},images_per_second_{0}"
DIFFERENCE = (
    "method,n,mean_difference,std_difference,ci95_low,ci95_high,boot95_low,boot95_high,n_better,n_worse,"
    "throughput_ratio"
)


def made(path: Path, name: str) -> Folder:
    (path / name).mkdir(parents=True)
    return Folder(path / name)


def runs(folder: Folder, point: dict[str, Any], values: dict[int, float | str], **about: Any) -> None:
    """A run for each seed: an accuracy, or the state that it is in."""
    for seed, value in values.items():
        name = "-".join(map(str, (*point.values(), seed)))
        if isinstance(value, str):
            folder.run(name, point, seed, [0.4], state=value, study=folder.path.name, **about)
        else:
            folder.run(name, point, seed, [0.5, value], study=folder.path.name, **about)


@pytest.fixture
def both(tmp_path: Path) -> tuple[Folder, Folder]:
    """Batch 64: pairs, one diverged and one missing; 128: other seeds; 256 in a alone, 512 in b alone."""
    a, b = made(tmp_path, "a"), made(tmp_path, "b")
    fast = {"images_per_second": 1500.0}
    runs(a, {BATCH: 64}, {0: 0.90, 1: 0.92, 2: 0.94, 3: 0.50, 4: "failed"})
    runs(b, {BATCH: 64}, {0: 0.95, 1: 0.93, 2: 0.94, 3: "diverged", 4: 0.70}, exit=fast)
    runs(a, {BATCH: 128}, {0: 0.80, 1: 0.82})
    runs(b, {BATCH: 128}, {2: 0.90, 3: 0.90})
    runs(a, {BATCH: 256}, {0: 0.75})
    runs(b, {BATCH: 512}, {0: 0.25})
    return a, b


# 64, paired: +0.05, +0.01, 0; seeds 3 and 4 lack a result on one side. mean 0.02; std = √((9 + 1 + 4)/2)/100;
#   half = t(0.975; 2)·std/√3 = 4.302652730·0.01527525232 = 0.0657241061. All resamples: 0 to 0.05.
#   a: 0.90 0.92 0.94 0.50, mean 0.815, deviations 0.085 0.105 0.125 -0.315: std = √(0.1331/3). b: 0.95 0.93
#   0.94 0.70, mean 0.88, deviations 0.07 0.05 0.06 -0.18: std = √(0.0434/3). 1500 against 1000 images/s.
# 128, no seed in common, Welch: 0.90 - 0.81; std 0.01·√2 and 0, so error = 0.01 with 1 degree of freedom:
#   half = 12.70620474·0.01. Resamples: a's means 0.80, 0.81, 0.82 weigh 1/4, 1/2, 1/4: 0.08 to 0.10.
# 512 had 0.5 an epoch before: unstable.
TABLE = f"""{BATCH},{SIDE.format("a")},{SIDE.format("b")},{DIFFERENCE}
64,4,0.815,0.2106339637,0,1,0,0,1000,4,0.88,0.120277457,1,0,0,0,1500,paired,3,0.02,0.02645751311,\
-0.0457241061,0.0857241061,0,0.05,2,0,1.5
128,2,0.81,0.01414213562,0,0,0,0,1000,2,0.9,0,0,0,0,0,1000,welch,,0.09,,\
-0.0370620474,0.2170620474,0.08,0.1,,,1
256,1,0.75,,0,0,0,0,1000,,,,,,,,,,,,,,,,,,,
512,,,,,,,,,1,0.25,,0,0,0,1,1000,,,,,,,,,,,
"""


def close(found: str, expected: str) -> bool:
    ours, theirs = ([line.split(",") for line in text.splitlines()] for text in (found, expected))
    return [len(row) for row in ours] == [len(row) for row in theirs] and all(
        one == other or float(one) == pytest.approx(float(other), abs=1e-8)
        for row, expected_row in zip(ours, theirs, strict=True)
        for one, other in zip(row, expected_row, strict=True)
    )


def compared(both: tuple[Folder, Folder], **options: Any) -> Comparison:
    return compare(collect(both[0].path), collect(both[1].path), **options)


def test_the_table_is_that_computed_by_hand(both: tuple[Folder, Folder]) -> None:
    found = compared(both).table.to_csv()
    assert close(found, TABLE), found


def test_turned_round_every_difference_changes_its_sign(both: tuple[Folder, Folder]) -> None:
    there, back = (compared(pair).table.rows for pair in (both, both[::-1]))
    for row, other in zip(there[:2], back[:2], strict=True):
        assert row["mean_difference"] == pytest.approx(-other["mean_difference"])
        assert (row["ci95_low"], row["boot95_high"]) == pytest.approx(
            (-other["ci95_high"], -other["boot95_low"])
        )
        assert row["throughput_ratio"] == pytest.approx(1 / other["throughput_ratio"])
    assert (there[0]["n_better"], there[0]["n_worse"]) == (back[0]["n_worse"], back[0]["n_better"]) == (2, 0)


def test_unpaired_on_request(both: tuple[Folder, Folder]) -> None:
    row = compared(both, unpaired=True).table.rows[0]
    assert row["method"] == "welch"
    assert row["mean_difference"] == pytest.approx(0.88 - 0.815)


def test_what_has_no_counterpart_is_said(both: tuple[Folder, Folder]) -> None:
    notes = compared(both).notes()
    assert "1 point of a has no counterpart in b: batch size 256." in notes
    assert "1 point of b has no counterpart in a: batch size 512." in notes
    assert "a: 8 runs: 7 completed, 1 failed." in notes


def test_all_points_together(both: tuple[Folder, Folder]) -> None:
    """Better at 64 and 128, and neither interval leaves out 0."""
    rest = "0 of 2 intervals leave out 0 (0.1 by chance alone)."
    assert f"b is better in 2 and worse in 0 of 2 points; {rest}" in compared(both).notes()
    assert f"a is better in 0 and worse in 2 of 2 points; {rest}" in compared(both[::-1]).notes()


def test_an_interval_that_leaves_out_zero_is_counted(tmp_path: Path) -> None:
    a, b = made(tmp_path, "a"), made(tmp_path, "b")
    runs(a, {BATCH: 64}, {0: 0.90, 1: 0.91, 2: 0.92})
    runs(b, {BATCH: 64}, {0: 0.80, 1: 0.82, 2: 0.82})
    # -0.10, -0.09, -0.10: mean -0.0967, half = 4.302652730 · 0.005774/√3 = 0.0143.
    assert any(
        "worse in 1 of 1 point; 1 of 1 intervals leave out 0" in note for note in compared((a, b)).notes()
    )


def test_one_pair_has_a_difference_and_no_interval(tmp_path: Path) -> None:
    a, b = made(tmp_path, "a"), made(tmp_path, "b")
    runs(a, {BATCH: 64}, {0: 0.75})
    runs(b, {BATCH: 64}, {0: 0.5, 1: 0.25})
    (row,) = compared((a, b)).table.rows
    assert (row["method"], row["n"], row["mean_difference"], row["ci95_low"]) == ("paired", 1, -0.25, None)
    assert any(
        note.endswith("none has an interval, which takes two seeds.") for note in compared((a, b)).notes()
    )


def test_one_pair_among_several_unpaired_runs_gives_way_to_welch(tmp_path: Path) -> None:
    a, b = made(tmp_path, "a"), made(tmp_path, "b")
    runs(a, {BATCH: 64}, {0: 0.75, 1: 0.5})
    runs(b, {BATCH: 64}, {1: 0.5, 2: 0.25})
    (row,) = compared((a, b)).table.rows
    assert (row["method"], row["mean_difference"]) == ("welch", -0.25)


def test_where_nothing_has_a_result_yet(tmp_path: Path) -> None:
    a, b = made(tmp_path, "a"), made(tmp_path, "b")
    runs(a, {BATCH: 64}, {0: "diverged", 1: "lost"})
    runs(b, {BATCH: 64}, {0: 0.5})
    found = compared((a, b))
    (row,) = found.table.rows
    assert (row["n_a"], row["n_diverged_a"], row["n_missing_a"], row.get("mean_difference")) == (
        0,
        1,
        1,
        None,
    )
    assert "No point has results on both sides yet." in found.notes()


def test_an_axis_of_one_side_is_matched_at_the_others_setting(tmp_path: Path) -> None:
    """b varies the warmup; a has 5 epochs fixed, in its settings."""
    a, b = made(tmp_path, "a"), made(tmp_path, "b")
    runs(a, {BATCH: 64}, {0: 0.5}, recipe={"warmup": {"epochs": 5}})
    for epochs, value in ((0, 0.25), (5, 0.75)):
        runs(b, {BATCH: 64, WARMUP: epochs}, {0: value}, recipe={"warmup": {"epochs": epochs}})
    found = compared((a, b))
    rows = {row[WARMUP]: row for row in found.table.rows}
    assert (rows[5]["mean_difference"], rows[0].get("n_a")) == (0.25, None)
    assert f"{WARMUP} is an axis of b alone, compared at a's 5." in found.notes()
    assert "1 point of b has no counterpart in a: batch size 64, warmup epochs 0." in found.notes()


def test_an_axis_that_the_other_side_does_not_know_is_compared_at_every_value(tmp_path: Path) -> None:
    a, b = made(tmp_path, "a"), made(tmp_path, "b")
    for batch, value in ((64, 0.5), (128, 0.25)):
        runs(a, {BATCH: batch}, {0: value})
        for rho in (0.05, 0.1):
            runs(b, {BATCH: batch, RHO: rho}, {0: value + rho})
    found = compared((a, b))
    differences = {(row[BATCH], row[RHO]): row["mean_difference"] for row in found.table.rows}
    assert differences == pytest.approx(
        {(64, 0.05): 0.05, (64, 0.1): 0.1, (128, 0.05): 0.05, (128, 0.1): 0.1}
    )
    assert f"{RHO} is an axis of b alone; each of its values is compared with a." in found.notes()


def test_a_setting_with_a_short_name_is_matched_by_what_it_is(tmp_path: Path) -> None:
    """Points name whole sections shortly (`kind=lars`); the other side has the section alone."""
    a, b = made(tmp_path, "a"), made(tmp_path, "b")
    lars, adam = {"kind": "lars", "momentum": 0.9}, {"kind": "adam", "momentum": None}
    runs(a, {BATCH: 64}, {0: 0.5}, recipe={"optimizer": lars})
    for name, optimizer, value in (("kind=lars", lars, 0.75), ("kind=adam", adam, 0.25)):
        runs(b, {BATCH: 64, "recipe.optimizer": name}, {0: value}, recipe={"optimizer": optimizer})
    rows = compared((a, b)).table.rows
    assert {row["recipe.optimizer"]: row.get("mean_difference") for row in rows} == {
        "kind=lars": 0.25,
        "kind=adam": None,
    }


def test_nothing_in_common_is_said_with_the_way_out(tmp_path: Path) -> None:
    a, b = made(tmp_path, "a"), made(tmp_path, "b")
    runs(a, {BATCH: 64}, {0: 0.5})
    runs(b, {BATCH: 128}, {0: 0.25})
    with pytest.raises(
        RequestError, match=f"no point of a .* {BATCH} is 64 in a and 128 in b; .*--ignore {BATCH}"
    ):
        compared((a, b))
    found = compared((a, b), ignore=[BATCH])
    (row,) = found.table.rows
    assert (row[f"{BATCH}_a"], row[f"{BATCH}_b"], row["mean_difference"]) == (64, 128, -0.25)


def test_points_that_fall_together_on_both_sides_are_refused(tmp_path: Path) -> None:
    a, b = made(tmp_path, "a"), made(tmp_path, "b")
    for folder in (a, b):
        for batch in (64, 128):
            runs(folder, {BATCH: batch}, {0: 0.5})
    with pytest.raises(RequestError, match=f"2 points of a could each be compared with 2 of b: .*{BATCH}"):
        compared((a, b), ignore=[BATCH])
    with pytest.raises(
        RequestError, match=r"--ignore recipe\.epochs: no axis of a or b; there are: recipe\.batch_size"
    ):
        compared((a, b), ignore=["recipe.epochs"])


def about(commit: str, tensorflow: str, **more: Any) -> dict[str, Any]:
    return {"source": {"commit": commit}, "versions": {"tensorflow": tensorflow}, "time": 1.0, **more}


def test_settings_and_versions_that_differ(tmp_path: Path) -> None:
    """Axes that points are matched by, places and commands are no differences."""
    a, b = made(tmp_path, "a"), made(tmp_path, "b")
    for folder, momentum, version in ((a, 0.9, "2.20"), (b, 0.95, "2.21")):
        for batch in (64, 128):
            recipe = {"batch_size": batch, "optimizer": {"kind": "momentum", "momentum": momentum}}
            job = {"name": "job.py", "path": str(folder.path), "sha256": "f00"}
            ran = about("c0ffee", version, command=folder.path.name)
            runs(folder, {BATCH: batch}, {0: 0.5}, recipe=recipe, job=job, provenance=ran)
    found = compared((a, b))
    assert found.settings == [("recipe.optimizer.momentum", ("0.9",), ("0.95",))]
    assert found.versions == [("versions.tensorflow", ("2.20",), ("2.21",))]


def test_settings_are_compared_point_by_point(tmp_path: Path) -> None:
    """The same values, dealt to the batch sizes the other way round."""
    a, b = made(tmp_path, "a"), made(tmp_path, "b")
    for folder, rates in ((a, (0.1, 0.2)), (b, (0.2, 0.1))):
        for batch, rate in zip((64, 128), rates, strict=True):
            recipe = {"reference": {"learning_rate": rate}}
            runs(folder, {BATCH: batch}, {0: 0.5}, recipe=recipe, job={"name": "job.py"})
    assert compared((a, b)).settings == [("recipe.reference.learning_rate", ("0.1", "0.2"), ("0.1", "0.2"))]


def test_what_is_not_finite_is_no_json_and_no_throughput(tmp_path: Path) -> None:
    a, b = made(tmp_path, "a"), made(tmp_path, "b")
    for folder in (a, b):
        rows = [
            f"{epoch},{epoch},0.1,0.5,0.75,0.5,0.9,{pace},2.0" for epoch, pace in ((1, "inf"), (2, "nan"))
        ]
        folder.run("r", {"x": float("inf")}, 0, rows=rows)
    found = compared((a, b))
    (row,) = found.table.rows
    assert (row["images_per_second_a"], row["throughput_ratio"]) == (None, None)
    (point,) = json.loads(json.dumps(found.to_json(), allow_nan=False))["points"]
    assert point["x"] is None and point["mean_a"] == 0.9


def test_tables_that_cannot_be_written_are_said(both: tuple[Folder, Folder], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match=r"cannot make the folder .*file: File exists"):
        compared(both).write(tmp_path / "file")
    with pytest.raises(RequestError, match=r"cannot make the folder .*tables: Not a directory"):
        collect(both[0].path).write(tmp_path / "file")


def test_collected_tables_can_be_compared_with_folders(both: tuple[Folder, Folder], tmp_path: Path) -> None:
    for folder in both:
        collect(folder.path).write(tmp_path / "results" / folder.path.name)
    tables = compare(*(results_from_tables(tmp_path / "results" / name) for name in ("a", "b")))
    assert tables.table.to_csv() == compared(both).table.to_csv()
    mixed = compare(collect(both[0].path), results_from_tables(tmp_path / "results" / "b"))
    assert mixed.table.to_csv() == tables.table.to_csv()
    assert mixed.settings == []


def test_parted_by_the_version_of_the_code(folder: Folder) -> None:
    """The version whose first run ended first is the first part."""
    for commit, time, values in (("b" * 40, 1.0, (0.5, 0.75)), ("a" * 40, 2.0, (0.75, 1.0))):
        for seed, value in enumerate(values):
            folder.run(
                f"{commit[0]}{seed}",
                {BATCH: 64},
                seed,
                [value],
                exit={"time": time},
                provenance=about(commit, "2.21"),
            )
    folder.run("none", {BATCH: 64}, 5, [0.5])
    parts = part(collect(folder.path), "git_sha")
    assert parts.names == ("b" * 10, "a" * 10)
    found = compare(*parts.results, parts.names, ignore=parts.axes, said=parts.notes)
    (row,) = found.table.rows
    assert (row["n"], row["mean_difference"], row["std_difference"]) == (2, 0.25, 0)
    assert found.notes()[0] == "1 of 5 runs have no git_sha and are left out."
    assert found.versions == [("source.commit", ("b" * 40,), ("a" * 40,))]


def test_parted_by_an_axis_that_another_goes_along_with(folder: Folder) -> None:
    for batch, rate, value in ((1024, 0.4, 0.5), (256, 0.1, 0.75)):
        for warmup in (0, 5):
            point = {BATCH: batch, "recipe.reference.learning_rate": rate, WARMUP: warmup}
            folder.run(f"{batch}-{warmup}", point, 0, [value], derived={"batch_size": batch})
    results = collect(folder.path)
    for column in (BATCH, "batch_size"):
        parts = part(results, column)
        assert parts.names == ("batch size 256", "batch size 1024")
        assert parts.axes == (BATCH, "recipe.reference.learning_rate")
        rows = compare(*parts.results, parts.names, ignore=parts.axes).table.rows
        assert [
            (row[WARMUP], row[f"{BATCH}_a"], row[f"{BATCH}_b"], row["mean_difference"]) for row in rows
        ] == [
            (0, 256, 1024, -0.25),
            (5, 256, 1024, -0.25),
        ]


def test_a_column_without_two_values_is_refused(batch_by_warmup: Folder) -> None:
    results = collect(batch_by_warmup.path)
    with pytest.raises(RequestError, match=r"--by modell: runs\.csv has no such column; did you mean model"):
        part(results, "modell")
    with pytest.raises(RequestError, match=r"--by model needs two values, found 1: lenet \(12 runs\)$"):
        part(results, "model")
    with pytest.raises(RequestError, match=r'found 3: 0 \(4 runs\), .*choose two with --where "seed in'):
        part(results, "seed")


def test_letters_are_named_with_their_column(folder: Folder) -> None:
    """Runs of two states of the code, marked A and B by first use."""
    for commit, time, value in (("a" * 40, 5.0, 0.5), ("b" * 40, 1.0, 0.75)):
        for seed in (0, 1):
            ran = about(commit, "2.21", time=time)
            folder.run(f"{commit[0]}{seed}", {BATCH: 64}, seed, [value], exit={"time": time}, provenance=ran)
    parts = part(collect(folder.path), "code")
    assert parts.names == ("code A", "code B")
    (row,) = compare(*parts.results, parts.names).table.rows
    assert (row["mean_a"], row["mean_b"]) == (0.75, 0.5)


def test_an_axis_parts_the_runs_with_a_technique_from_those_without(folder: Folder) -> None:
    for seed in range(3):
        runs(folder, {BATCH: 64, "recipe.sam": None}, {seed: 0.5})
        runs(folder, {BATCH: 64, "recipe.sam": "rho=0.05"}, {seed: 0.75})
    parts = part(collect(folder.path), "recipe.sam")
    assert parts.names == ("sam none", "rho 0.05")
    found = compare(*parts.results, parts.names, ignore=parts.axes)
    (row,) = found.table.rows
    assert (row["n"], row["mean_difference"]) == (3, 0.25)
