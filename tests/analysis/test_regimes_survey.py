"""All of a study's regimes together: tables by hand, laws over seeds, sentences, JSON, and `hlb regimes`."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_runs import METRICS, Folder

from horovod_lb.analysis import Results, collect
from horovod_lb.analysis.regimes import CriticalBatch, Law, laws, survey
from horovod_lb.analysis.regimes.as_json import as_json
from horovod_lb.analysis.regimes.tables import duration, presented
from horovod_lb.analysis.regimes.words import number, sentences

WARMUP, RATE = "recipe.warmup.epochs", "recipe.reference.learning_rate"


def curve(
    folder: Folder, batch: int, seed: int, epochs: int, noise: float, final: float = 0.99, **spec: Any
) -> None:
    """A run of 30 epochs that is at 0.95 in epoch `epochs`, of 600/batch·100 steps and 2 seconds each."""
    steps = 60000 // batch
    values = [0.95 if epoch >= epochs else 0.5 for epoch in range(1, 30)] + [final]
    rows = [
        f"{epoch},{epoch * steps},0.1,0.03,0.75,0.03,{value},1000.0,2.0,{noise}"
        for epoch, value in enumerate(values, 1)
    ]
    folder.run(
        f"{batch}-{seed}-{len(list(folder.path.iterdir()))}",
        {"recipe.batch_size": batch, **spec.pop("point", {})},
        seed,
        rows=rows,
        header=f"{METRICS},noise_scale",
        derived={"batch_size": batch, "learning_rate_peak": 0.1 * batch / 256, "epochs": 30},
        **spec,
    )


def with_source(results: Results, **changes: Any) -> Results:
    return replace(results, source=replace(results.source, **changes))


@pytest.fixture
def three_batches(folder: Folder) -> Results:
    """5 (1 + B/512): 7.5 epochs at 256, 15 at 1024, 25 at 2048 (medians); at 4096 one of three gets there."""
    for seed, off in enumerate((-0.0002, 0.0, 0.0002)):
        curve(folder, 256, seed, (7, 8, 8)[seed], 400 + seed, 0.99 + off)
        curve(folder, 1024, seed, 15, 800, 0.99 + off)
        curve(folder, 2048, seed, 25, 1600, 0.99 + off)
        curve(folder, 4096, seed, 29 if seed == 0 else 99, 3200, 0.94 + off)
    return with_source(collect(folder.path), target={"val_accuracy": 0.95})


def test_the_table_by_hand(three_batches: Results) -> None:
    table = three_batches.tables["regimes"]
    rows = list(csv.DictReader(table.to_csv().splitlines()))
    assert [row["batch_size"] for row in rows] == ["256", "1024", "2048", "4096"]
    assert [row["baseline"] for row in rows] == ["true", "false", "false", "false"]
    assert [row["linear_holds"] for row in rows] == ["", "true", "true", "false"]
    assert [row["epochs_to_target"] for row in rows] == ["8", "15", "25", ""]
    assert [row["steps_to_target"] for row in rows] == [str(8 * 234), str(15 * 58), str(25 * 29), ""]
    assert [row["seconds_to_target"] for row in rows] == ["16", "30", "50", ""]
    assert [(row["n_reached"], row["n_not_reached"]) for row in rows] == [("3", "0")] * 3 + [("1", "2")]
    assert [row["noise_scale"] for row in rows] == ["401", "800", "1600", "3200"]
    assert [row["best_points"] for row in rows] == ["", "1", "1", "1"]


def test_the_critical_batch_size_and_what_is_left_out_of_its_fit(three_batches: Results) -> None:
    found = survey(three_batches)
    assert found.left_out == (4096,)
    assert found.critical is not None and found.critical.n == 3
    assert found.critical.critical == pytest.approx(512, rel=0.2)  # the median at 256 is 8, not 7.5
    assert found.critical.critical_low < 512 < found.critical.critical_high
    assert any("Left out" in sentence and "4,096" in sentence for sentence in sentences(found))


def test_small_studies_stay_plain(folder: Folder) -> None:
    folder.run("a", {"recipe.batch_size": 256}, 0, [0.5, 0.9])
    results = collect(folder.path)
    assert results.survey is None
    assert not {"regimes", "targets"} & set(results.tables)
    with_target = with_source(results, target={"val_accuracy": 0.9})
    assert {"regimes", "targets"} & set(with_target.tables) == {"targets"}
    assert [shown.name for shown in with_target.presented()][-1] == "targets"


def test_tables_for_people(three_batches: Results) -> None:
    regimes, targets = presented(survey(three_batches))
    assert [row["batch size"] for row in regimes.table.rows] == [256, 1024, 2048, 4096]
    assert regimes.table.rows[0]["linear scaling"] == "baseline"
    assert regimes.table.rows[1]["best tried"] == "99.00 %: holds, more than 99.9 % sure"
    assert regimes.table.rows[3]["best tried"].startswith("94.00 %: does not hold")
    assert "B_H between 2,048 and 4,096" in regimes.caption
    assert "B_crit = " in regimes.caption
    assert [row["reached"] for row in targets.table.rows] == ["3 of 3", "3 of 3", "3 of 3", "1 of 3"]
    assert targets.caption.startswith("To a validation accuracy of at least 95 %. Medians")
    assert [row["time"] for row in targets.table.rows] == ["16 s", "30 s", "50 s", ""]
    assert "source" not in targets.table.columns


def test_sections_and_nothing_are_named_as_in_the_other_tables(folder: Folder) -> None:
    for sam, optimizer in ((None, "kind=adam"), ("rho=0.05", "kind=lars")):
        folder.run(str(sam), {"recipe.sam": sam, "recipe.optimizer": optimizer}, 0, [0.9])
    (shown,) = presented(survey(with_source(collect(folder.path), target={"val_accuracy": 0.5})))[-1:]
    assert [(row["sam"], row["optimizer"]) for row in shown.table.rows] == [
        ("none", "adam"),
        ("rho 0.05", "lars"),
    ]


def test_imagenet_stands_beside_the_speed_records(folder: Folder) -> None:
    about: dict[str, Any] = {"data": {"name": "imagenet"}, "model": {"name": "resnet50"}}
    for batch in (256, 1024):
        curve(folder, batch, 0, 10, 400, **about)
    (_, targets) = presented(survey(with_source(collect(folder.path), target={"val_accuracy": 0.753})))
    sources = [row.get("source") for row in targets.table.rows]
    assert sources[:2] == [None, None]
    assert sources[2] == "He et al. 2015 (75.3 %)" and sources[-1] == "Kumar et al. 2019 (75.9 %)"
    assert targets.table.rows[2]["time"] == "29 h 00 min"


def made_warmups(folder: Folder, best: dict[tuple[int, int], float]) -> list[Law]:
    """Warmups 0, 5, 10 and 20 at 7,680 and 30,720; `best` is the best one of each batch size and seed."""
    for (batch, seed), warmup in best.items():
        for tried in (0, 5, 10, 20):
            accuracy = 0.75 if tried == warmup else 0.70
            point = {"recipe.batch_size": batch, WARMUP: tried}
            folder.run(f"{batch}-{tried}-{seed}", point, seed, [accuracy])
    return laws(collect(folder.path), WARMUP)


def test_the_warmups_of_mccord_and_dash_have_the_exponent_one_half(folder: Folder) -> None:
    (law,) = made_warmups(
        folder, {(batch, seed): warmup for batch, warmup in ((7680, 5), (30720, 10)) for seed in (0, 1, 2)}
    )
    assert law.fit is not None and law.fit.exponent == pytest.approx(0.5)
    assert (law.fit.low, law.fit.high) == (None, None)
    assert (law.boot_low, law.boot_high) == pytest.approx((0.5, 0.5))  # every seed says the same
    assert law.at_edge == ()


def test_the_range_over_seeds_is_that_of_the_batch_sizes_of_the_fit(folder: Folder) -> None:
    """At 256 the best is 0 but for one seed in three: no part of the fit, and of none of the draws."""
    best = {(batch, seed): warmup for batch, warmup in ((1024, 5), (4096, 10)) for seed in (0, 1, 2)}
    (law,) = made_warmups(folder, {**best, (256, 0): 0, (256, 1): 0, (256, 2): 5})
    assert [one.value for one in law.best] == [0, 5, 10]
    assert law.fit is not None and law.fit.n == 2 and law.fit.exponent == pytest.approx(0.5)
    assert (law.boot_low, law.boot_high) == pytest.approx((0.5, 0.5))


def test_seeds_that_disagree_widen_the_exponents_range(folder: Folder) -> None:
    """Seeds 0 and 1 find 5 and 10, seed 2 finds 5 and 20: drawn thrice (1 of 27 draws) it makes exponent 1,
    and where it is drawn twice (6 of 27) as well.
    """
    best = {(7680, 0): 5, (7680, 1): 5, (7680, 2): 5, (30720, 0): 10, (30720, 1): 10, (30720, 2): 20}
    (law,) = made_warmups(folder, {key: float(value) for key, value in best.items()})
    assert law.fit is not None and law.fit.exponent == pytest.approx(0.5)
    assert (law.boot_low, law.boot_high) == pytest.approx((0.5, 1.0))


def test_a_law_needs_two_batch_sizes(folder: Folder) -> None:
    assert made_warmups(folder, {(7680, 0): 5}) == []


def test_sentences_say_the_law_and_what_is_published(folder: Folder) -> None:
    made_warmups(folder, {(batch, 0): warmup for batch, warmup in ((7680, 5), (30720, 20))})
    said = " ".join(sentences(survey(collect(folder.path))))
    assert "Best warmup epochs: 5 at 7,680, 20 at 30,720; exponent 1 (no interval" in said
    assert "At 30,720 the best value is at the edge" in said
    assert "0.5 (McCord and Dash, figures 6c and 7b), 1 (You et al., LEGW)" in said


def test_json_holds_plain_finite_values(three_batches: Results) -> None:
    found = survey(three_batches)
    said = json.loads(json.dumps(as_json(found, found.proposals()), allow_nan=False))
    assert said["huge_batch"]["low"] == 2048 and said["huge_batch"]["high"] == 4096
    assert said["target"] == {"column": "val_accuracy", "value": 0.95, "why": "the study's target"}
    assert [row["batch_size"] for row in said["batch_sizes"]] == [256, 1024, 2048, 4096]
    found = replace(found, critical=CriticalBatch(5, 4, 6, math.inf, 2048, math.inf, 3))
    said = json.loads(json.dumps(as_json(found, []), allow_nan=False))["critical_batch"]
    assert (said["critical"], said["critical_low"], said["critical_high"]) == ("inf", 2048, "inf")


def test_runs_without_a_batch_size_or_a_result(folder: Folder) -> None:
    folder.run("a", {"width": 3}, 0, state=None, derived={}, recipe={})
    found = survey(collect(folder.path))
    assert (found.base, found.target, found.critical, found.proposals()) == (None, None, None, [])
    assert sentences(found) == ["No run of a baseline has a result yet."]
    assert found.table().rows == []


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(67.1, "67.1 s"), (132, "2 min 12 s"), (3600, "1 h 00 min"), (104400, "29 h 00 min"), (None, "")],
)
def test_durations(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


def test_numbers() -> None:
    assert [number(value) for value in (None, float("inf"), float("nan"), 1234.5, 0.51234)] == [
        "?",
        "∞",
        "?",
        "1,234",
        "0.5123",
    ]


def hlb(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(
        [sys.executable, "-m", "horovod_lb.cli.main", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_command_says_brackets_and_what_to_run_next(
    three_batches: Results, folder: Folder, tmp_path: Path
) -> None:
    done = hlb("regimes", folder.path, "--factor", 1.5, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "B_L between 2,048 and 4,096" in done.stdout
    assert "points:\n  - {recipe.batch_size: 3072}  # B_L, B_H: halves 2,048 to 4,096" in done.stdout
    assert "--where 'batch_size in [3072]'" in done.stdout
    assert (tmp_path / "results" / "made" / "regimes.csv").exists()


def test_the_command_speaks_json_and_nothing_else(
    three_batches: Results, folder: Folder, tmp_path: Path
) -> None:
    done = hlb("regimes", folder.path, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["baseline"]["batch_size"] == 256


def test_the_command_without_a_result_of_the_baseline_proposes_that(folder: Folder, tmp_path: Path) -> None:
    folder.run("a", {"recipe.batch_size": 256}, 0, [0.5], state="failed")
    folder.run("b", {"recipe.batch_size": 1024}, 0, [0.5])
    done = hlb("regimes", folder.path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "No run of a baseline has a result yet." in done.stdout
    assert "Next: the baseline's runs" in done.stdout and "within a factor" not in done.stdout


def test_the_command_without_runs_says_so(tmp_path: Path) -> None:
    done = hlb("regimes", "nothing", cwd=tmp_path)
    assert done.returncode == 2 and "nothing is neither a study file" in done.stderr
