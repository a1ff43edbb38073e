"""When runs reach a target, and the table of it, by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from made_runs import METRICS, Folder

from horovod_lb.analysis import Results, collect
from horovod_lb.analysis.regimes.targets import Reached, Target, reached, target_of, targets_table, to_target

TARGET = Target("val_accuracy", 0.9)


def point(batch: int, **more: Any) -> dict[str, Any]:
    return {"recipe.batch_size": batch, **more}


def with_source(results: Results, **changes: Any) -> Results:
    return replace(results, source=replace(results.source, **changes))


def test_the_first_epoch_at_the_target_counts(folder: Folder) -> None:
    folder.run("a", point(256), 0, [0.5, 0.9, 0.8, 0.95])
    (record,) = collect(folder.path).records
    assert reached(record, TARGET) == Reached(epoch=2, step=20, seconds=4.0)
    assert reached(record, Target("val_accuracy", 0.951)) is None


def test_a_loss_is_reached_from_above(folder: Folder) -> None:
    folder.run("a", point(256), 0, [0.5, 0.6, 0.7], losses=[0.9, 0.4, 0.2])
    (record,) = collect(folder.path).records
    assert reached(record, Target("val_loss", 0.4)) == Reached(2, 20, 4.0)


def test_what_a_run_did_not_write_is_not_made_up(folder: Folder) -> None:
    rows = ["1,,0.1,0.5,0.7,0.5,0.6,1000,", "2,,0.1,0.5,0.7,0.5,nan,1000,2", "3,,0.1,0.5,0.7,0.5,0.92,1000,2"]
    folder.run("a", point(256), 0, rows=rows, header=METRICS)
    (record,) = collect(folder.path).records
    assert reached(record, TARGET) == Reached(3, None, None)


def test_the_table_by_hand(folder: Folder) -> None:
    """At 256 all three reach it, after 2, 3 and 4 epochs of 10 steps and 2 seconds; at 1024 one of three does
    and one diverges; at 4096 one is under way and one has not begun.
    """
    for seed, values in enumerate(([0.5, 0.9], [0.5, 0.6, 0.91], [0.5, 0.6, 0.7, 0.95])):
        folder.run(f"a{seed}", point(256), seed, values)
    folder.run("b0", point(1024), 0, [0.5, 0.6, 0.92])
    folder.run("b1", point(1024), 1, [0.5, 0.6, 0.7])
    folder.run("b2", point(1024), 2, [0.5, 0.1], losses=[0.5, "nan"], state="diverged")
    folder.run("c0", point(4096), 0, [0.5], state="stopped")
    folder.run("c1", point(4096), 1, state=None)
    table = targets_table(collect(folder.path), TARGET)
    # t(0.975; 2) = 4.302652730; 3 ± 4.302652730/√3
    assert table.to_csv() == (
        "recipe.batch_size,target,target_value,n_reached,n_not_reached,n_missing,"
        "epochs_mean,epochs_std,epochs_ci95_low,epochs_ci95_high,epochs_median,"
        "steps_mean,steps_std,steps_ci95_low,steps_ci95_high,steps_median,"
        "seconds_mean,seconds_std,seconds_ci95_low,seconds_ci95_high,seconds_median\n"
        "256,val_accuracy,0.9,3,0,0,3,1,0.5158622882,5.484137712,3,"
        "30,10,5.158622882,54.84137712,30,6,2,1.031724576,10.96827542,6\n"
        "1024,val_accuracy,0.9,1,2,0,,,,,,,,,,,,,,,\n"
        "4096,val_accuracy,0.9,0,0,2,,,,,,,,,,,,,,,\n"
    )


def test_a_run_that_never_reaches_the_target_is_later_than_all_others(folder: Folder) -> None:
    for seed, values in enumerate(([0.9], [0.5, 0.9], [0.5, 0.5, 0.9], [0.5, 0.5, 0.5])):
        folder.run(f"a{seed}", point(256), seed, values)
    (only,) = collect(folder.path).points
    found = to_target(only, TARGET)
    assert (len(found.arrivals), found.n_not_reached) == (3, 1)
    assert found.median("epochs") == 2.5  # of 1, 2, 3, inf; the mean of those that did would be 2
    assert targets_table(collect(folder.path), TARGET).rows[0]["epochs_mean"] is None


def test_a_failed_run_that_had_been_there_has_reached_it(folder: Folder) -> None:
    folder.run("a", point(256), 0, [0.5, 0.93], state="failed")
    (only,) = collect(folder.path).points
    assert to_target(only, TARGET).values("epochs") == [2.0]


def test_the_studys_target_comes_first(folder: Folder) -> None:
    folder.run("a", point(256), 0, [0.5, 0.8])
    results = with_source(collect(folder.path), target={"val_loss": 0.3})
    assert target_of(results) == Target("val_loss", 0.3, "the study's target")


def test_else_it_is_a_part_of_the_baselines_accuracy(folder: Folder) -> None:
    folder.run("a0", point(256), 0, [0.5, 0.80])
    folder.run("a1", point(256), 1, [0.5, 0.84])
    folder.run("b0", point(1024), 0, [0.5, 0.9])
    found = target_of(collect(folder.path))
    assert found is not None
    assert found.column == "val_accuracy"
    assert found.value == pytest.approx(0.995 * 0.82)
    assert "the smallest batch size" in found.why
    found = target_of(with_source(collect(folder.path), baseline={"recipe.batch_size": 1024}))
    assert found is not None
    assert found.value == pytest.approx(0.995 * 0.9)
    assert found.why == "99.5 % of the accuracy of the study's baseline"


def test_the_best_of_several_baseline_points(folder: Folder) -> None:
    for name, rate, value in (("a", 0.1, 0.8), ("b", 0.2, 0.85), ("c", 0.4, 0.6)):
        folder.run(name, point(256, rate=rate), 0, [value])
    found = target_of(collect(folder.path))
    assert found is not None
    assert found.value == pytest.approx(0.995 * 0.85)
    assert "the best of its 3 points" in found.why


def test_without_a_result_there_is_no_target(folder: Folder) -> None:
    folder.run("a", point(256), 0, state=None)
    results = collect(folder.path)
    assert target_of(results) is None
    assert targets_table(results).rows == []


@pytest.mark.parametrize("value", [None, math.nan, True, "0.99"])
def test_what_is_no_number_reaches_nothing(value: object) -> None:
    assert not TARGET.met(value)
