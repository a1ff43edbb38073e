"""Presets of Goyal et al., McCord and Dash, Surlemont et al., and of scaling: the numbers of their runs.

Expected values are the papers' own, or are worked out by hand from them: steps as ceil(90 · 1,281,167 / B).
"""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import pytest

from horovod_lb.analysis.figures import KINDS
from horovod_lb.analysis.published import published
from horovod_lb.machines import load_machine
from horovod_lb.study import RunSpec, expand, load_study
from horovod_lb.study.shipped import miniatures, shipped_studies

IMAGES = 1_281_167
MCCORD = ("mccord2021-baseline", "mccord2021-warmup", "mccord2021-scaling")
PRESETS = (
    *MCCORD,
    "goyal2017-warmup",
    "goyal2017-batch",
    "surlemont2022-sam",
    "surlemont-dropout-confound",
    "scaling-throughput",
)


@cache
def runs(name: str, small: bool = False) -> tuple[RunSpec, ...]:
    return tuple(expand(load_study((miniatures() if small else shipped_studies())[name])))


def once(name: str, small: bool = False) -> list[RunSpec]:
    """A run of each point."""
    found = runs(name, small)
    return [run for run in found if run.seed == found[0].seed]


def batch_size(run: RunSpec) -> int:
    return run.resolved.batch.batch_size


def scaled(run: RunSpec) -> tuple[str, int]:
    return run.resolved.scaling, batch_size(run)


def nodes(run: RunSpec) -> int:
    return load_machine("summit").nodes_for(run.spec["resources"]["workers"])


# McCord and Dash: 40 nodes of 6, base rate 0.0125.


def test_mccord_batch_sizes_have_the_rates_of_both_rules() -> None:
    peaks = {scaled(run): run.resolved.rate.peak for run in once("mccord2021-baseline")}
    by_batch = {3840: 1.5, 7680: 3.0, 15360: 6.0, 23040: 9.0, 30720: 12.0}  # 0.0125 · B / 32
    by_rank = dict.fromkeys((3840, 15360, 23040, 30720), 3.0)  # 0.0125 · 240
    assert peaks == pytest.approx(
        {("linear", size): peak for size, peak in by_batch.items()}
        | {("per_worker", size): peak for size, peak in by_rank.items()}
    )


def test_mccord_steps() -> None:
    steps = {batch_size(run): run.resolved.timeline.total_steps for run in once("mccord2021-baseline")}
    assert steps == {3840: 30028, 7680: 15014, 15360: 7507, 23040: 5005, 30720: 3754}


def test_mccord_warmups() -> None:
    found = [(*scaled(run), run.resolved.rate.warmup_epochs) for run in once("mccord2021-warmup")]
    cells = [("linear", 7680), ("linear", 30720), ("per_worker", 30720)]
    assert sorted(found) == sorted((*cell, epochs) for cell in cells for epochs in (0, 5, 10, 20))


def test_mccord_scaling_against_none() -> None:
    found = {run.resolved.scaling: (batch_size(run), run.resolved.rate.peak) for run in once(MCCORD[2])}
    assert found == {
        "none": (30720, 0.0125),
        "linear": (30720, pytest.approx(12.0)),
        "per_worker": (30720, pytest.approx(3.0)),
    }


@pytest.mark.parametrize("name", MCCORD)
def test_mccord_machine_warmup_start_and_decays(name: str) -> None:
    for run in once(name):
        rate, size = run.resolved.rate, batch_size(run)
        assert run.resolved.batch.groups == 240
        assert nodes(run) == 40
        if rate.warmup_steps:
            assert rate(0) == pytest.approx(rate.peak / 240)
        for decay in (30, 60):
            first = math.ceil(decay * IMAGES / size)
            assert rate(first) / rate(first - 1) == pytest.approx(0.1)
        last = run.resolved.timeline.total_steps - 1
        assert rate(last) == pytest.approx(rate.peak / 100)  # the decay at epoch 90 never acts


# Goyal et al.: the table of the slides.


def test_goyal_table_of_warmups() -> None:
    table = published("goyal2017-warmup")
    assert table is not None
    found = {run.point["label"]: run for run in once("goyal2017-warmup")}
    assert [row["label"] for row in table.rows] == list(found)
    for row in table.rows:
        run = found[row["label"]]
        assert run.spec["resources"]["workers"] == run.resolved.batch.groups == row["groups"]
        assert run.resolved.batch.group_size == row["batch_per_group"]
        assert batch_size(run) == row["batch_size"] == row["groups"] * row["batch_per_group"]
        assert run.resolved.rate.peak == pytest.approx(row["learning_rate_peak"])


def test_goyal_errors() -> None:
    table = published("goyal2017-warmup")
    assert table is not None
    errors = {row["label"]: (100 * row["final5_val_error"], 100 * row["std"]) for row in table.rows}
    assert errors == {
        "baseline": (pytest.approx(23.60), pytest.approx(0.12)),
        "no warmup": (pytest.approx(24.84), pytest.approx(0.37)),
        "constant warmup": (pytest.approx(25.88), pytest.approx(0.56)),
        "gradual warmup": (pytest.approx(23.74), pytest.approx(0.09)),
    }


def test_goyal_warmups_by_the_step() -> None:
    found = {run.point["label"]: run.resolved.rate for run in once("goyal2017-warmup")}
    end = math.ceil(5 * IMAGES / 8192)  # 782, the first step after five epochs
    assert found["no warmup"](0) == pytest.approx(3.2)
    assert [found["constant warmup"](step) for step in (0, end - 1, end)] == pytest.approx([0.1, 0.1, 3.2])
    gradual = found["gradual warmup"]
    assert gradual(0) == pytest.approx(0.1)
    assert gradual(391) == pytest.approx(0.1 + 3.1 * 391 / (5 * IMAGES / 8192))
    assert gradual(end) == pytest.approx(3.2)
    assert len(runs("goyal2017-warmup")) == 4 * 5


def test_goyal_batch_sizes() -> None:
    found = once("goyal2017-batch")
    assert [batch_size(run) for run in found] == [64 * 2**power for power in range(11)]
    assert [run.resolved.rate.peak for run in found] == pytest.approx([0.025 * 2**k for k in range(11)])
    assert {run.resolved.batch.group_size for run in found} == {32}
    table = published("goyal2017-batch")
    assert table is not None
    peaks = {batch_size(run): run.resolved.rate.peak for run in found}
    for row in table.rows:
        assert peaks[row["batch_size"]] == pytest.approx(row["learning_rate_peak"])


# Surlemont et al.


def test_sam_is_of_the_whole_batch_and_every_cell_has_its_rates() -> None:
    cells: dict[tuple[str, int, bool], list[float]] = {}
    for run in once("surlemont2022-sam"):
        recipe = run.spec["recipe"]
        assert recipe["sam"] is None or (recipe["sam"]["rho"], recipe["sam"]["group"]) == (0.05, "global")
        cell = (recipe["optimizer"]["kind"], batch_size(run), bool(recipe["sam"]))
        cells.setdefault(cell, []).append(run.resolved.rate.peak)
        assert [measure["kind"] for measure in run.spec["measure"]] == ["sharpness"]
    assert len(cells) == 2 * 5 * 2
    for (optimizer, _, _), rates in cells.items():
        assert len(rates) == {"sgd": 5, "adam": 4}[optimizer]
        assert all(large == pytest.approx(4 * small) for small, large in pairwise(rates))


def test_the_dropout_ablation_repeats_points_of_the_sam_preset() -> None:
    """Its corners with dropout are the preset's own points, but for the dropout written out."""

    def recipes(name: str) -> list[dict[str, object]]:
        return [run.spec["recipe"] for run in once(name)]

    there = recipes("surlemont2022-sam")
    assert all(recipe in there for recipe in recipes("surlemont-dropout-confound"))


# Scaling.


def test_scaling_from_1_to_40_nodes() -> None:
    sizes: dict[str, dict[int, tuple[int, int]]] = {"weak": {}, "strong": {}}
    for run in once("scaling-throughput"):
        batch = run.resolved.batch
        sizes[run.point["label"]][nodes(run)] = (batch.batch_size, batch.worker_size)
        assert run.resolved.timeline.total_steps == 80
    on = (1, 2, 5, 10, 20, 40)
    assert sizes["weak"] == {count: (384 * count, 64) for count in on}
    assert sizes["strong"] == {count: (7680, 1280 // count) for count in on}


def test_scaling_runs_are_told_apart_by_their_ranks() -> None:
    ids = [run.run_id for run in runs("scaling-throughput")]
    assert len(set(ids)) == len(ids) == 12 * 3


# All of them.


@pytest.mark.parametrize("name", PRESETS)
def test_miniature_is_for_two_cores(name: str) -> None:
    for run in once(name, small=True):
        assert run.spec["resources"]["workers"] <= 2


@pytest.mark.parametrize("name", MCCORD)
def test_mccord_miniatures_keep_the_parts_of_the_way(name: str) -> None:
    """Warmups and decays at the same fractions of the run, batch sizes in the same ratios."""

    def shape(run: RunSpec, smallest: int) -> tuple[str, float, float]:
        length = run.resolved.timeline.epochs
        decays = [at / length for at in run.spec["recipe"]["schedule"]["epochs"]]
        assert decays == pytest.approx([1 / 3, 2 / 3, 1])
        return run.resolved.scaling, batch_size(run) / smallest, run.resolved.rate.warmup_epochs / length

    full, small = once(name), once(name, small=True)
    shapes = [{shape(run, min(map(batch_size, part))) for run in part} for part in (full, small)]
    if name == "mccord2021-warmup":  # the miniature has the linear rule alone
        shapes[0] = {found for found in shapes[0] if found[0] == "linear"}
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("name", PRESETS)
def test_figures_of_its_report_are_there_to_draw(name: str, small: bool) -> None:
    report = load_study((miniatures() if small else shipped_studies())[name]).settings.report
    assert report.figures
    unknown = [word for word in report.figures if not any(kind.startswith(word) for kind in KINDS)]
    assert not unknown
    assert report.published is None or published(report.published) is not None
