"""Presets of You et al. 2020, "The limit of the batch size": the numbers of their runs are the paper's.

Steps are worked out by hand: ceil(epochs · examples / batch size).
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from math import ceil
from typing import Any

import pytest

from horovod_lb.analysis.published import published
from horovod_lb.study import RunSpec, baseline_runs, expand, load_study
from horovod_lb.study.audit import audit
from horovod_lb.study.shipped import miniatures, shipped_studies

IMAGENET, CIFAR, MNIST, DIGITS = 1_281_167, 50_000, 60_000, 1_440


@cache
def runs(name: str, small: bool = False) -> tuple[RunSpec, ...]:
    return tuple(expand(load_study((miniatures() if small else shipped_studies())[name])))


def of(run: RunSpec, key: str) -> Any:
    value: Any = run.spec
    for part in key.split("."):
        value = value[part]
    return value


def sizes(found: tuple[RunSpec, ...]) -> set[tuple[int, float, int]]:
    """Batch size, epochs, steps."""
    resolved = [run.resolved for run in found]
    return {(one.batch.batch_size, float(one.timeline.epochs), one.timeline.total_steps) for one in resolved}


@pytest.mark.parametrize(
    ("name", "full", "small"),
    [
        # By hand: (2 + 1 + 3 · 4 · 4) · 2 batch sizes; small: (1 + 1 + 3 · 3 · 3) · 2.
        ("you2020-ladder", 102, 58),
        ("you2020-table3", 246, 72),
        ("you2020-table4", 8, 24),
        # 13 lengths · 3 rates; 8 · 2.
        ("you2020-longer", 39, 16),
        # (12 + 11 · 3) · 3 seeds; (7 + 6 · 3) · 3.
        ("you2020-regimes", 135, 75),
        # (9 · 4 + 4 + 4 + 1) · 3 seeds; 9 · 3 + 3 + 3 + 1.
        ("you2020-cyclical", 135, 34),
        ("you2020-ladder-cifar10", 102, None),
        # 2 optimizers · 5 rates · 4 warmups.
        ("you2020-full-mnist", 40, None),
        # 2 rates at 256, 2 · 4 lengths · 4 rates.
        ("you2020-longer-mnist", 34, None),
        ("you2020-longer-cifar10", 13, None),
        # (9 + (8 + 3 · 3) · 4) · 3 seeds.
        ("you2020-regimes-mnist", 231, None),
        # (8 + (7 + 2 · 2) · 3) · 3 seeds.
        ("you2020-regimes-cifar10", 123, None),
    ],
)
def test_number_of_runs(name: str, full: int, small: int | None) -> None:
    assert len(runs(name)) == full
    assert (len(runs(name, True)) if name in miniatures() else None) == small


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("you2020-ladder", {"label smoothing"}),
        ("you2020-ladder-cifar10", {"label smoothing"}),
        ("you2020-table3", {"warmup steps"}),
        ("you2020-table4", {"group size"}),
        ("you2020-longer", {"warmup steps"}),
        ("you2020-longer-mnist", {"warmup steps"}),
        ("you2020-longer-cifar10", {"group size"}),
        ("you2020-full-mnist", set()),
        ("you2020-regimes", {"warmup steps", "label smoothing"}),
        ("you2020-regimes-mnist", {"warmup steps"}),
        ("you2020-regimes-cifar10", {"warmup steps", "group size"}),
        ("you2020-cyclical", {"warmup steps"}),
    ],
)
def test_the_audit_finds_what_the_head_says(name: str, kinds: set[str]) -> None:
    assert {finding.kind for finding in audit(runs(name))} == kinds
    if name in miniatures():
        assert {finding.kind for finding in audit(runs(name, True))} <= kinds


def test_ladder() -> None:
    found = runs("you2020-ladder")
    assert sizes(found) == {(819_200, 90, 141), (1_281_280, 90, 90)}
    table = published("you2020-ladder")
    assert table is not None
    accuracies = {
        row["label"]: row["final_val_accuracy"] for row in table.rows if row["batch_size"] == 819_200
    }
    assert [100 * value for value in accuracies.values()] == pytest.approx(
        [0.0977, 2.712, 4.563, 4.226, 18.95]
    )
    assert set(accuracies) == {run.point["label"] for run in found}
    assert list(accuracies) == sorted(accuracies)
    for run in found:
        rung, rate = int(run.point["label"][0]), run.resolved.rate
        assert (of(run, "recipe.optimizer.kind") == "lars") == (rung == 4)
        assert (of(run, "recipe.label_smoothing") > 0) == (rung >= 3)
        assert (rate.warmup_steps > 0) == (rung >= 1)
        assert of(run, "recipe.clip_global_norm") is not None
        assert of(run, "recipe.schedule.kind") == "cosine"
        assert run.resolved.batch.group_size == 128
    peaks = {
        of(run, "recipe.scaling"): run.resolved.rate.peak
        for run in found
        if run.point["label"].startswith("0") and run.resolved.batch.batch_size == 819_200
    }
    assert peaks == pytest.approx({"linear": 320.0, "sqrt": 5.656854})  # 0.1 · 3200, 0.1 · √3200


def test_ladder_of_cifar10() -> None:
    assert sizes(runs("you2020-ladder-cifar10")) == {(25_000, 200, 400), (50_000, 200, 200)}
    assert {run.resolved.batch.group_size for run in runs("you2020-ladder-cifar10")} == {125}


def test_table3_has_18_cells() -> None:
    table = published("you2020-table3")
    assert table is not None

    def technique(layerwise: Any) -> str | None:
        return None if not layerwise else "bounded" if layerwise["max"] else "ratio"

    cells = {
        (optimizer["kind"], technique(optimizer.get("layerwise")), size)
        for run in runs("you2020-table3")
        for optimizer, size in [(of(run, "recipe.optimizer"), run.resolved.batch.batch_size)]
    }
    assert cells == {(row["optimizer"], row["layerwise"], row["batch_size"]) for row in table.rows}
    assert len(cells) == len(table.rows) == 18
    steps = {8192: ceil(30 * 55_000 / 8192), 256: ceil(30 * 55_000 / 256)}
    assert sizes(runs("you2020-table3")) == {(size, 30, count) for size, count in steps.items()}
    percent = [100 * row["final_test_accuracy"] for row in table.rows if row["final_test_accuracy"]]
    # Table 3, row by row; diverge, diverge and unstable are three more.
    rows = [99.2, 99.2, 99.2, 99.2, 98.3, 99.3, 99.3, 99.2, 98.6, 99.0, 99.3, 99.1, 99.4, 99.3, 99.4]
    assert percent == pytest.approx(rows)
    assert Counter(row["outcome"] for row in table.rows) == {None: 15, "diverge": 2, "unstable": 1}


def test_table4() -> None:
    table = published("you2020-table4")
    assert table is not None
    found = [
        (run.resolved.rate.peak, of(run, "recipe.optimizer.momentum"), of(run, "resources.workers"))
        for run in runs("you2020-table4")
    ]
    rates, first, second = (26, 28, 30, 32), [0.94429] * 4, [0.94429, 0.95, 0.95, 0.95]
    assert found == [*zip(rates, first, [256] * 4, strict=True), *zip(rates, second, [512] * 4, strict=True)]
    assert found == [
        (row["learning_rate_peak"], row["recipe.optimizer.momentum"], row["tpu_chips"]) for row in table.rows
    ]
    accuracies = [72.92, 73.37, 73.08, 72.82, 73.14, 73.30, 73.14, 72.82]
    assert [100 * row["final_val_accuracy"] for row in table.rows] == pytest.approx(accuracies)
    assert sizes(runs("you2020-table4")) == {(131_072, 90, 880)}
    for run in runs("you2020-table4"):
        assert run.resolved.rate.warmup_epochs == 25
        assert of(run, "recipe.weight_decay.value") == 1e-4
        assert of(run, "recipe.label_smoothing") == 0.1
        # Two cores a chip, each with its own part of the batch.
        assert run.resolved.batch.groups == 2 * of(run, "resources.workers")


def test_longer() -> None:
    found = sizes(runs("you2020-longer"))
    steps = {(size, epochs): count for size, epochs, count in found}
    for (size, epochs), count in steps.items():
        assert count == ceil(epochs * IMAGENET / size)
    # Figure 10: the whole set takes as many steps as 32K in 90 epochs.
    assert steps[32_768, 90] == steps[1_281_280, 3519] == 3519
    table = published("you2020-longer")
    assert table is not None
    rows = [row for row in table.rows if row["dataset"] == "imagenet" and row["epochs"]]
    full = {1_281_167: 1_281_280}
    lengths = {(full.get(row["batch_size"], row["batch_size"]), row["epochs"]) for row in rows}
    assert lengths - set(steps) == {(256, 90)}


@pytest.mark.parametrize(
    ("name", "dataset"), [("you2020-longer-mnist", "mnist"), ("you2020-longer-cifar10", "cifar10")]
)
def test_longer_elsewhere(name: str, dataset: str) -> None:
    table = published("you2020-longer")
    assert table is not None
    wanted = {(row["batch_size"], row["epochs"]) for row in table.rows if row["dataset"] == dataset}
    lengths = {(size, epochs) for size, epochs, _ in sizes(runs(name))}
    assert wanted - lengths <= {(256, 10)}
    assert {of(run, "data.name") for run in runs(name)} == {dataset}


def test_what_longer_training_reached() -> None:
    table = published("you2020-longer")
    assert table is not None
    percent = [round(100 * row["final_val_accuracy"], 2) for row in table.rows if row["final_val_accuracy"]]
    imagenet = [75.9, 76.7, 65, 19, 70, 71.8, 71.1]
    assert percent == [*imagenet, 99.2, 99.3, 98.3, 99.16, 98.3, 93.9, 92.58]


@pytest.mark.parametrize(
    ("name", "base", "whole", "examples"),
    [
        ("you2020-regimes", (256, 90), 1_281_280, IMAGENET),
        ("you2020-regimes-mnist", (256, 30), MNIST, MNIST),
        ("you2020-regimes-cifar10", (128, 200), CIFAR, CIFAR),
    ],
)
def test_regimes(name: str, base: tuple[int, int], whole: int, examples: int) -> None:
    """Table 2's baseline; linear scaling is exactly its recipe with the rate times B/B_0."""
    study = load_study(shipped_studies()[name])
    table = published("you2020-regimes")
    assert table is not None
    (row,) = (row for row in table.rows if row["B_F"] == examples)
    assert (row["batch_size"], row["epochs"]) == base
    baseline = baseline_runs(study, list(runs(name)))
    assert sizes(tuple(baseline)) == {(*base, ceil(base[1] * examples / base[0]))}
    assert len({run.seed for run in baseline}) == len(baseline) >= 2
    assert study.settings.target == {"val_accuracy": row["final_val_accuracy"]}
    found = sorted({run.resolved.batch.batch_size for run in runs(name)})
    assert (found[0], found[-1]) == (base[0], whole)
    assert {row["B_L"], row["B_H"]} <= set(found)
    for run in runs(name):
        if run.point["label"] == "linear scaling":
            size, rate = run.resolved.batch.batch_size, run.resolved.rate
            assert rate.peak == pytest.approx(baseline[0].resolved.rate.peak * size / base[0])
            same = ("recipe.optimizer", "recipe.warmup", "recipe.schedule", "recipe.epochs")
            assert all(of(run, key) == of(baseline[0], key) for key in same)


def test_figures_21_and_22_train_longer() -> None:
    for name, epochs, smallest in (
        ("you2020-regimes-mnist", 200, 16_384),
        ("you2020-regimes-cifar10", 1000, 25_000),
    ):
        longest = {size for size, length, _ in sizes(runs(name)) if length == epochs}
        assert min(longest) == smallest
        assert max(length for _, length, _ in sizes(runs(name))) == epochs


def test_cyclical() -> None:
    found = runs("you2020-cyclical")
    assert sizes(found) == {(256, 30, 6446), (8192, 30, 202), (32_768, 30, 51)}
    table = published("you2020-cyclical")
    assert table is not None
    errors = [round(100 - 100 * row["final_test_accuracy"], 2) for row in table.rows]
    assert errors == [0.8, 0.6, 4.2, 12.7, 3.8, 1.3, 8.0]
    labels = {run.point["label"] for run in found}
    assert {row["label"] for row in table.rows} - labels == {"other optimizers"}
    figures = {figure for figure in range(23, 34) if any(str(figure) in label for label in labels)}
    assert figures == set(range(23, 34))
    short, long = (
        next(
            of(run, "recipe.schedule.cycle_epochs")
            for run in found
            if f"Figure {figure}" in run.point["label"]
        )
        for figure in (32, 33)
    )
    assert short < long


def test_grain_of_the_cosine() -> None:
    """Fine, regular and coarse: from many short cycles to few long ones."""
    cycles = {
        word: of(run, "recipe.schedule.cycles")
        for run in runs("you2020-cyclical")
        for word in ("fine", "regular", "coarse")
        if f"{word} cosine" in run.point["label"]
    }
    assert cycles["fine"] > cycles["regular"] > cycles["coarse"] > 1


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        ("you2020-ladder", {920: (819_200, IMAGENET, 90), 1440: (1_281_280, IMAGENET, 90)}),
        ("you2020-table3", {214: (8192, 55_000, 30)}),
        ("you2020-cyclical", {214: (8192, 55_000, 30), 858: (32_768, 55_000, 30)}),
        ("you2020-table4", {147: (131_072, IMAGENET, 90)}),
        ("you2020-longer", {294: (262_144, IMAGENET, 90), 920: (819_200, IMAGENET, 90)}),
    ],
)
def test_miniatures_keep_the_part_of_the_training_set(
    name: str, pairs: dict[int, tuple[int, int, int]]
) -> None:
    """So many epochs are then the same number of steps, to half a percent."""
    small = {(size, epochs): steps for size, epochs, steps in sizes(runs(name, True))}
    for size, (there, examples, epochs) in pairs.items():
        assert size / DIGITS == pytest.approx(there / examples, rel=0.005)
        assert small[size, epochs] == pytest.approx(ceil(epochs * examples / there), rel=0.005)
