"""The best value of an axis at each batch size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from made_runs import Folder

from horovod_lb.analysis import collect
from horovod_lb.analysis.regimes.best import best_by_batch, edge

RATE, SAM = "recipe.reference.learning_rate", "recipe.sam"


def point(batch: int, **more: Any) -> dict[str, Any]:
    return {"recipe.batch_size": batch, **more}


def test_the_best_rate_of_each_batch_size_and_whether_it_is_bracketed(folder: Folder) -> None:
    accuracies = {256: (0.90, 0.95, 0.92), 1024: (0.80, 0.85, 0.90), 4096: (0.70, 0.60, 0.50)}
    for batch, values in accuracies.items():
        for rate, value in zip((0.1, 0.2, 0.4), values, strict=True):
            folder.run(f"{batch}-{rate}", point(batch, **{RATE: rate}), 0, [value])
    folder.run("one", point(8192, **{RATE: 0.4}), 0, [0.5])
    found = best_by_batch(collect(folder.path), RATE)
    assert [(best.batch_size, best.value, best.accuracy.mean, best.edge) for best in found] == [
        (256, 0.2, 0.95, None),
        (1024, 0.4, 0.90, "highest"),
        (4096, 0.1, 0.70, "lowest"),
        (8192, 0.4, 0.5, "only"),
    ]
    assert [best.bracketed for best in found] == [True, False, False, False]
    assert "beyond" in found[1].note and "only one" in found[3].note and found[0].note == ""


def test_points_are_compared_over_the_seeds_they_share(folder: Folder) -> None:
    """At 0.1 a second, lucky seed; over seed 0 alone 0.2 is better."""
    folder.run("a0", point(256, **{RATE: 0.1}), 0, [0.80])
    folder.run("a1", point(256, **{RATE: 0.1}), 1, [0.99])
    folder.run("b0", point(256, **{RATE: 0.2}), 0, [0.85])
    (best,) = best_by_batch(collect(folder.path), RATE)
    assert best.value == 0.2


def test_a_rate_at_which_most_runs_diverge_is_not_the_best_but_was_tried(folder: Folder) -> None:
    folder.run("a0", point(256, **{RATE: 0.1}), 0, [0.80])
    for seed in (0, 1):
        folder.run(f"b{seed}", point(256, **{RATE: 0.2}), seed, [0.1], losses=["nan"], state="diverged")
    folder.run("b2", point(256, **{RATE: 0.2}), 2, [0.99])
    folder.run("c0", point(256, **{RATE: 0.05}), 0, [0.70])
    folder.run("d0", point(256, **{RATE: 0.8}), 0, state=None)  # not run yet: not tried
    (best,) = best_by_batch(collect(folder.path), RATE)
    assert (best.value, best.tried, best.edge) == (0.1, (0.05, 0.1, 0.2), None)


def test_no_warmup_is_no_edge(folder: Folder) -> None:
    for warmup, value in ((0, 0.9), (5, 0.8)):
        folder.run(f"{warmup}", point(256, **{"recipe.warmup.epochs": warmup}), 0, [value])
    (best,) = best_by_batch(collect(folder.path), "recipe.warmup.epochs")
    assert (best.value, best.edge) == (0, None)


def test_axes_that_are_not_tuned_make_groups(folder: Folder) -> None:
    for sam, best_rate in ((None, 0.1), (0.05, 0.2)):
        for rate in (0.1, 0.2):
            value = 0.9 if rate == best_rate else 0.8
            folder.run(f"{sam}-{rate}", point(256, **{RATE: rate, SAM: sam}), 0, [value])
    results = collect(folder.path)
    results = replace(results, source=replace(results.source, tuned=(RATE,)))
    found = [(best.group, best.value) for best in best_by_batch(results, RATE)]
    assert found == [({SAM: None}, 0.1), ({SAM: 0.05}, 0.2)]


def test_a_derived_column_is_an_axis_too(folder: Folder) -> None:
    for rate, value in ((0.1, 0.8), (0.2, 0.9)):
        derived = {"batch_size": 1024, "learning_rate_peak": 4 * rate}
        folder.run(f"{rate}", point(1024, **{RATE: rate}), 0, [value], derived=derived)
    (best,) = best_by_batch(collect(folder.path), "learning_rate_peak")
    assert best.value == pytest.approx(0.8)


def test_nothing_to_choose_from(folder: Folder) -> None:
    folder.run("a", point(256, **{RATE: 0.1}), 0, state=None)
    assert best_by_batch(collect(folder.path), RATE) == []
    assert best_by_batch(collect(folder.path), "no.such.axis") == []


@pytest.mark.parametrize(("value", "expected"), [(1, "lowest"), (2, None), (3, "highest")])
def test_edges(value: float, expected: str | None) -> None:
    assert edge(value, (1, 2, 3)) == expected


def test_rates_that_differ_in_round_off_are_one(folder: Folder) -> None:
    """0.3 and 3 times 0.1: what is best is the highest rate tried, not between two others."""
    for scaling, peak in (("none", 0.1), ("sqrt", 0.3), ("linear", 3 * 0.1)):
        point = {"recipe.batch_size": 256, "recipe.scaling": scaling}
        derived = {"batch_size": 256, "learning_rate_peak": peak}
        folder.run(scaling, point, 0, [0.9 if scaling == "sqrt" else 0.8], derived=derived)
    (best,) = best_by_batch(collect(folder.path), "learning_rate_peak")
    assert (best.value, best.tried, best.edge) == (0.3, (0.1, 0.3), "highest")
