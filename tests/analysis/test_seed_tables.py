"""The tables over seeds against tables computed by hand from the runs of `batch_by_warmup`."""

from __future__ import annotations

import pytest
from made_runs import Folder

from horovod_lb.analysis import collect
from horovod_lb.analysis.best import best_table
from horovod_lb.analysis.differences import differences_table

AXES = "recipe.batch_size,recipe.warmup.epochs"
# t(0.975; 2) = 4.302652730, t(0.975; 1) = 12.70620474; for example 0.92 ± 4.302652730·0.02/√3
# Bootstrap: of the n^n resamples of n values, 1 in 27 (n = 3) or 1 in 4 (n = 2) takes the smallest only, more
# than 2.5 %, and so with the largest: the interval is from the one to the other.
SUMMARY = "n,mean,std,ci95_low,ci95_high,boot95_low,boot95_high"
TEST_SUMMARY = SUMMARY.replace("n,", "test_n,", 1).replace(",", ",test_").replace("test_test_", "test_")
ACCURACY = f"""{AXES},{SUMMARY},n_diverged,n_missing,missing_seeds,n_chance,n_unstable,{TEST_SUMMARY}
256,0,3,0.92,0.02,0.8703172458,0.9696827542,0.9,0.94,0,0,,0,0,\
3,0.91,0.02,0.8603172458,0.9596827542,0.89,0.93
256,5,3,0.96,0.01732050808,0.9169734727,1.003026527,0.95,0.98,0,0,,0,0,\
3,0.94,0.01732050808,0.8969734727,0.9830265273,0.93,0.96
1024,0,1,0.99,,,,,,2,0,,0,0,0,,,,,,
1024,5,2,0.85,0.07071067812,0.2146897632,1.485310237,0.8,0.9,0,1,2,0,0,0,,,,,,
"""
WIDE = """recipe.batch_size,recipe.warmup.epochs = 0,recipe.warmup.epochs = 5
256,0.9200 ± 0.0200 (3),0.9600 ± 0.0173 (3)
1024,0.9900 (1; 2 diverged),0.8500 ± 0.0707 (2; 1 missing)
"""
ERROR = """recipe.batch_size,recipe.warmup.epochs = 0,recipe.warmup.epochs = 5
256,0.0800 ± 0.0200 (3),0.0400 ± 0.0173 (3)
1024,0.0100 (1; 2 diverged),0.1500 ± 0.0707 (2; 1 missing)
"""
BEST = f"""{AXES},points,points_diverged,val_{SUMMARY.replace(",", ",val_")},{TEST_SUMMARY},\
n_diverged,n_missing,missing_seeds
256,5,2,0,3,0.96,0.01732050808,0.9169734727,1.003026527,0.95,0.98,\
3,0.94,0.01732050808,0.8969734727,0.9830265273,0.93,0.96,0,0,
1024,5,2,1,2,0.85,0.07071067812,0.2146897632,1.485310237,0.8,0.9,0,,,,,,,0,1,2
"""
DIFFERENCES = (
    f"{AXES},n,mean_difference,std_difference,ci95_low,ci95_high,boot95_low,boot95_high,"
    "n_better,n_worse,n_diverged,n_missing\n"
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("accuracy", ACCURACY), ("accuracy_wide", WIDE), ("error_wide", ERROR), ("best", BEST)],
)
def test_tables_are_those_computed_by_hand(batch_by_warmup: Folder, name: str, expected: str) -> None:
    assert collect(batch_by_warmup.path).tables[name].to_csv() == expected


def test_every_planned_run_is_counted_once(batch_by_warmup: Folder) -> None:
    for point in collect(batch_by_warmup.path).points:
        assert point.accuracy.n + point.n_diverged + point.n_missing == len(point.runs) == 3


def test_differences_are_paired_by_seed(batch_by_warmup: Folder) -> None:
    results = collect(batch_by_warmup.path)
    baseline = {"recipe.batch_size": 256, "recipe.warmup.epochs": 0}
    assert differences_table(results.points, results.axes, baseline).to_csv() == (
        f"{DIFFERENCES}"
        "256,5,3,0.04,0.01,0.01515862288,0.06484137712,0.03,0.05,3,0,0,0\n"
        "1024,0,1,0.09,,,,,,1,0,2,0\n"
        "1024,5,2,-0.06,0.05656854249,-0.5682481894,0.4482481894,-0.1,-0.02,0,2,0,1\n"
    )


def test_a_baseline_that_leaves_an_axis_open_is_taken_at_the_same_value(batch_by_warmup: Folder) -> None:
    results = collect(batch_by_warmup.path)
    assert differences_table(results.points, results.axes, {"recipe.batch_size": 256}).to_csv() == (
        f"{DIFFERENCES}1024,0,1,0.09,,,,,,1,0,2,0\n"
        "1024,5,2,-0.1,0.07071067812,-0.7353102368,0.5353102368,-0.15,-0.05,0,2,0,1\n"
    )


def test_a_baseline_with_one_point_is_the_baseline_of_all(folder: Folder) -> None:
    for run_id, batch, warmup, value in (("a", 16, 0, 0.9), ("b", 64, 0, 0.8), ("c", 64, 10, 0.95)):
        point = {"recipe.batch_size": batch, "recipe.warmup.epochs": warmup}
        folder.run(run_id, point, 0, [0.5, value])
    results = collect(folder.path)
    assert differences_table(results.points, results.axes, {"recipe.batch_size": 16}).to_csv() == (
        f"{DIFFERENCES}64,0,1,-0.1,,,,,,0,1,0,0\n64,10,1,0.05,,,,,,1,0,0,0\n"
    )


def test_an_axis_that_follows_the_baselines_own_does_not_keep_points_apart(folder: Folder) -> None:
    for batch, groups, value in ((16, 1, 0.9), (64, 4, 0.8)):
        for warmup in (0, 10):
            point = {
                "recipe.batch_size": batch, "recipe.groups": groups, "recipe.warmup.epochs": warmup,
            }  # fmt: skip
            folder.run(f"{batch}-{warmup}", point, 0, [value + warmup / 1000])
    results = collect(folder.path)
    table = differences_table(results.points, results.axes, {"recipe.batch_size": 16})
    assert [
        (row["recipe.warmup.epochs"], row["n"], round(row["mean_difference"], 9)) for row in table.rows
    ] == [
        (0, 1, -0.1),
        (10, 1, -0.1),
    ]


def test_without_a_baseline_there_are_no_differences(batch_by_warmup: Folder) -> None:
    assert collect(batch_by_warmup.path).tables["differences"].to_csv() == DIFFERENCES


def test_runs_at_chance_are_in_the_mean_and_said(folder: Folder) -> None:
    folder.run("a", {"recipe.batch_size": 64}, 0, [0.1, 0.1])
    folder.run("b", {"recipe.batch_size": 64}, 1, [0.5, 0.9])
    folder.run("c", {"recipe.batch_size": 128}, 0, [0.9, 0.5])
    tables = collect(folder.path).tables
    rows = tables["accuracy"].to_csv().splitlines()
    assert rows[1].startswith("64,2,0.5,") and ",0,0,,1,0," in rows[1]
    assert rows[2] == "128,1,0.5,,,,,,0,0,,0,1,0,,,,,,"
    assert tables["accuracy_wide"].to_csv().splitlines() == [
        "recipe.batch_size,accuracy",
        "64,0.5000 ± 0.5657 (2; 1 at chance)",
        "128,0.5000 (1; 1 unstable)",
    ]


def test_all_diverged_and_nothing_yet(folder: Folder) -> None:
    for seed in (0, 1):
        folder.run(f"a{seed}", {"recipe.batch_size": 64}, seed, [0.2], state="diverged")
        folder.run(f"b{seed}", {"recipe.batch_size": 128}, seed, state=None)
    tables = collect(folder.path).tables
    assert tables["accuracy_wide"].to_csv().splitlines()[1:] == ["64,diverged (2)", "128,missing"]
    found = [(row["recipe.batch_size"], row["points"], row["val_n"]) for row in tables["best"].rows]
    assert found == [(64, 1, 0), (128, 1, 0)]
    assert [row["points_diverged"] for row in tables["best"].rows] == [1, 0]


def test_a_point_where_most_diverge_is_best_only_where_there_is_no_other(folder: Folder) -> None:
    def runs(name: str, batch: int, rate: float, states: dict[int, float | None]) -> None:
        point = {"recipe.batch_size": batch, "recipe.reference.learning_rate": rate}
        for seed, value in states.items():
            state = "diverged" if value is None else "completed"
            folder.run(f"{name}{seed}", point, seed, [0.5, value or 0.1], state=state)

    runs("a", 64, 0.1, {0: 0.90, 1: 0.90, 2: 0.90})
    runs("b", 64, 0.4, {0: 0.95, 1: 0.93, 2: None})
    runs("c", 64, 1.6, {0: 0.99, 1: None, 2: None})
    runs("d", 128, 1.6, {0: 0.97, 1: None, 2: None})
    runs("e", 256, 0.8, {0: 0.90, 1: None})  # as many converged as diverged
    runs("f", 256, 0.4, {0: 0.80, 1: 0.80})
    rows = collect(folder.path).tables["best"].rows
    assert [(row["recipe.batch_size"], row["recipe.reference.learning_rate"]) for row in rows] == [
        (64, 0.4),
        (128, 1.6),
        (256, 0.8),
    ]
    assert [(row["points"], row["n_diverged"]) for row in rows] == [(3, 1), (1, 2), (2, 1)]
    assert [row["points_diverged"] for row in rows] == [1, 1, 0]


def test_where_no_point_has_a_result_none_is_best_and_all_runs_are_counted(folder: Folder) -> None:
    for rate, states in ((0.1, ("diverged", None)), (0.4, ("diverged", "diverged"))):
        for seed, state in enumerate(states):
            point = {"recipe.batch_size": 64, "recipe.reference.learning_rate": rate}
            folder.run(f"{rate}{seed}", point, seed, [0.1], state=state)
    results = collect(folder.path)
    (row,) = results.tables["best"].rows
    assert row["recipe.batch_size"] == 64
    assert row.get("recipe.reference.learning_rate") is None
    assert (row["points"], row["points_diverged"], row["n_diverged"], row["n_missing"]) == (2, 2, 3, 1)
    (shown,) = (table for table in results.presented() if table.name == "best")
    assert "| 64 |  | diverged (3; 1 missing) | 2 points (2 mostly diverged) |" in shown.table.to_markdown()


def test_points_are_compared_over_the_seeds_they_share(folder: Folder) -> None:
    """Rates chosen on seed 0, the better one then trained with more seeds, which came out worse."""
    for rate, values in ((0.1, [0.90]), (0.2, [0.92, 0.86, 0.86]), (0.4, [0.91])):
        for seed, value in enumerate(values):
            point = {"recipe.batch_size": 64, "recipe.reference.learning_rate": rate}
            folder.run(f"r{rate}s{seed}", point, seed, [0.5, value])
    (row,) = collect(folder.path).tables["best"].rows
    assert (row["recipe.reference.learning_rate"], row["val_n"], row["val_mean"]) == (
        0.2,
        3,
        pytest.approx(0.88),
    )


def test_points_without_a_common_seed_are_compared_by_their_means(folder: Folder) -> None:
    for rate, seed, value in ((0.1, 0, 0.90), (0.2, 1, 0.92), (0.4, 2, 0.91)):
        folder.run(
            f"s{seed}", {"recipe.batch_size": 64, "recipe.reference.learning_rate": rate}, seed, [value]
        )
    (row,) = collect(folder.path).tables["best"].rows
    assert row["recipe.reference.learning_rate"] == 0.2


def test_a_study_says_which_axes_are_tuned(folder: Folder) -> None:
    """Tuned axes alone are chosen among: here the optimizer is compared, the rate chosen."""
    axes = ("recipe.optimizer.kind", "recipe.reference.learning_rate")
    found = (("sgd", 0.1, 0.7), ("sgd", 0.2, 0.8), ("lars", 0.1, 0.9), ("lars", 0.2, 0.6))
    for kind, rate, value in found:
        folder.run(f"{kind}{rate}", dict(zip(axes, (kind, rate), strict=True)), 0, [0.5, value])
    points = collect(folder.path).points
    rows = best_table(points, axes, tuned=[axes[1]]).rows
    chosen = [(row[axes[0]], row[axes[1]], row["points"]) for row in rows]
    assert chosen == [("lars", 0.1, 2), ("sgd", 0.2, 2)]
    assert [row["points"] for row in best_table(points, axes).rows] == [4]


def test_axes_outside_the_recipe_are_not_tuned(folder: Folder) -> None:
    for name in ("lenet", "cnn"):
        for rate, value in ((0.1, 0.8), (0.2, 0.9)):
            point = {"model.name": name, "recipe.reference.learning_rate": rate}
            folder.run(f"{name}{rate}", point, 0, [0.5, value])
    rows = collect(folder.path).tables["best"].rows
    assert [(row["model.name"], row["recipe.reference.learning_rate"]) for row in rows] == [
        ("cnn", 0.2),
        ("lenet", 0.2),
    ]


def test_three_axes_and_one_that_follows_from_another(folder: Folder) -> None:
    for batch, rate in ((64, 0.1), (128, 0.2)):
        for scaling in ("linear", "sqrt"):
            for warmup in (0, 5):
                point = {
                    "recipe.scaling": scaling,
                    "recipe.batch_size": batch,
                    "recipe.reference.learning_rate": rate,
                    "recipe.warmup.epochs": warmup,
                }
                folder.run(f"{batch}{scaling}{warmup}", point, 0, [0.5, 0.9])
    grid = collect(folder.path).grid
    assert (grid.row_axes, grid.column_axis) == (
        ("recipe.warmup.epochs", "recipe.batch_size"),
        "recipe.scaling",
    )
    assert grid.rows == ((0, 64), (0, 128), (5, 64), (5, 128))


def test_runs_without_a_seed_are_all_counted(folder: Folder) -> None:
    for run_id, value in (("a", 0.8), ("b", 0.9)):
        folder.run(run_id, {"recipe.batch_size": 64}, None, [0.5, value])
    (point,) = collect(folder.path).points
    assert point.accuracy.n == 2
    assert point.accuracy.mean == pytest.approx(0.85)
    assert point.by_seed() == {}


def test_repeats_of_a_seed_are_one_pair_by_their_mean(folder: Folder) -> None:
    """Scripts may train a seed twice. Both runs are in the mean, and their mean is in the pair."""
    for run_id, batch, seed, value in (("a", 64, 0, 0.5), ("b", 64, 0, 0.75), ("c", 64, 1, 0.5)):
        folder.run(run_id, {"recipe.batch_size": batch}, seed, [value])
    folder.run("d", {"recipe.batch_size": 128}, 0, [0.75])
    folder.run("e", {"recipe.batch_size": 128}, 1, [0.25])
    results = collect(folder.path)
    assert results.points[0].accuracy.n == 3
    assert results.points[0].by_seed() == {0: 0.625, 1: 0.5}
    (row,) = differences_table(results.points, results.axes, {"recipe.batch_size": 64}).rows
    assert (row["n"], row["mean_difference"], row["boot95_low"], row["boot95_high"]) == (
        2,
        -0.0625,
        -0.25,
        0.125,
    )
    assert (row["n_better"], row["n_worse"]) == (1, 1)
