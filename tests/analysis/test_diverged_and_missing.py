"""A study with diverged and missing runs gives the tables written here by hand, to the last digit."""

from __future__ import annotations

import dataclasses

import pytest
from made_runs import Folder

from horovod_lb.analysis import Results, collect

BATCH = "recipe.batch_size"
SUMMARY = "n,mean,std,ci95_low,ci95_high,boot95_low,boot95_high"

# 64: 0.90 0.91 0.92 0.93 0.94. std = √(2·(0.02² + 0.01²)/4) = 0.01·√2.5; half = t(0.975; 4)·std/√5 =
#   2.776445105·0.01/√2 = 0.01963243161. A resample's mean is 0.92 + S/500, S a sum of five of -2 -1 0 1 2; of
#   5⁵ = 3125 resamples S = -10, -9, -8, -7, -6 have 1, 5, 15, 35, 70. 2.5 % are 78.1: up to -7 there are 56,
#   up to -6 there are 126. So the bootstrap's interval is 0.92 ± 6/500.
# 256: 0.95, 0.91, diverged, failed, 0.93. std = 0.02; half = t(0.975; 2)·0.02/√3 = 4.302652730·0.01154700538.
#   Of three values: from the smallest to the largest.
# 1024: diverged, diverged, its loss nan though it says completed; under way (lost); not begun.
# 4096: seed 0 at chance with 0.10, seed 5 0.99. std = 0.89/√2; half = t(0.975; 1)·0.89/2 = 12.70620474·0.445.
ACCURACY = f"""{BATCH},{SUMMARY},n_diverged,n_missing,missing_seeds,n_chance,n_unstable
64,5,0.92,0.01581138830,0.9003675684,0.9396324316,0.908,0.932,0,0,,0,0
256,3,0.93,0.02,0.8803172458,0.9796827542,0.91,0.95,1,1,3,0,0
1024,0,,,,,,,3,2,3 4,0,0
4096,2,0.545,0.6293250353,-5.109261109,6.199261109,0.1,0.99,0,0,,1,0
"""
# 256 - 64: +0.05, 0, (diverged), (failed), -0.01. mean 0.04/3; deviations 0.11/3, -0.04/3, -0.07/3; std =
#   √(0.0186/9/2) = 0.03214550254; half = 4.302652730·0.03214550254/√3 = 0.07985385. One better, one worse,
#   one alike.
# 1024 - 64: no pair; three seeds diverged, two are missing.
# 4096 - 64: seed 0 alone, 0.10 - 0.90; 1 to 4 are missing here and 5 is missing there.
DIFFERENCES = f"""{BATCH},n,mean_difference,std_difference,ci95_low,ci95_high,boot95_low,boot95_high,\
n_better,n_worse,n_diverged,n_missing
256,3,0.01333333333,0.03214550254,-0.06652051,0.09318718,-0.01,0.05,1,1,1,1
1024,0,,,,,,,0,0,3,2
4096,1,-0.8,,,,,,0,1,0,5
"""
WIDE = f"""{BATCH},accuracy
64,0.9200 ± 0.0158 (5)
256,0.9300 ± 0.0200 (3; 1 diverged; 1 missing)
1024,diverged (3; 2 missing)
4096,0.5450 ± 0.6293 (2; 1 at chance)
"""
MARKDOWN = {
    "accuracy": """\
Final validation accuracy in percent, mean ± standard deviation (n runs). Diverged runs have no accuracy; \
the means are over the others.

| batch size | accuracy (%) |
| ---: | --- |
| 64 | 92.00 ± 1.58 (5) |
| 256 | 93.00 ± 2.00 (3; 1 diverged; 1 missing) |
| 1024 | diverged (3; 2 missing) |
| 4096 | 54.50 ± 62.93 (2; 1 at chance) |
""",
    "error": """\
Final validation error in percent, mean ± standard deviation (n runs). Diverged runs have no accuracy; \
the means are over the others.

| batch size | error (%) |
| ---: | --- |
| 64 | 8.00 ± 1.58 (5) |
| 256 | 7.00 ± 2.00 (3; 1 diverged; 1 missing) |
| 1024 | diverged (3; 2 missing) |
| 4096 | 45.50 ± 62.93 (2; 1 at chance) |
""",
    "accuracy_by_point": """\
Final validation accuracy in percent, mean ± standard deviation (n runs), with the 95 % interval of the mean \
(Student's t). Diverged runs have no accuracy; the means are over the others.

| batch size | accuracy (%) | 95 % interval |
| ---: | --- | --- |
| 64 | 92.00 ± 1.58 (5) | 90.04 to 93.96 |
| 256 | 93.00 ± 2.00 (3; 1 diverged; 1 missing) | 88.03 to 97.97 |
| 1024 | diverged (3; 2 missing) |  |
| 4096 | 54.50 ± 62.93 (2; 1 at chance) | −510.93 to 619.93 |
""",
    "differences": """\
Final validation accuracy minus the baseline's (batch size 64), in runs paired by seed, with the 95 % \
interval of the mean difference (Student's t).

| batch size | difference (percentage points) | 95 % interval | better in | pairs |
| ---: | --- | --- | --- | --- |
| 256 | +1.33 | −6.65 to +9.32 | 1 of 3 | 3 (1 diverged; 1 missing) |
| 1024 |  |  |  | 0 (3 diverged; 2 missing) |
| 4096 | −80.00 |  | 0 of 1 | 1 (5 missing) |
""",
    "best": """\
Best point by final validation accuracy, in percent, mean ± standard deviation (n runs).

| batch size | validation accuracy (%) | chosen from |
| ---: | --- | --- |
| 64 | 92.00 ± 1.58 (5) | 1 point |
| 256 | 93.00 ± 2.00 (3; 1 diverged; 1 missing) | 1 point |
| 1024 | diverged (3; 2 missing) | 1 point (1 mostly diverged) |
| 4096 | 54.50 ± 62.93 (2; 1 at chance) | 1 point |
""",
}


@pytest.fixture
def results(folder: Folder) -> Results:
    for seed, value in enumerate((0.90, 0.91, 0.92, 0.93, 0.94)):
        folder.run(f"a{seed}", {BATCH: 64}, seed, [0.5, value])
    for seed, value in ((0, 0.95), (1, 0.91), (4, 0.93)):
        folder.run(f"b{seed}", {BATCH: 256}, seed, [0.5, value])
    # What it had reached before it diverged, or failed, is in no mean.
    folder.run("b2", {BATCH: 256}, 2, [0.99, 0.99], state="diverged", losses=[0.5, "inf"])
    folder.run("b3", {BATCH: 256}, 3, [0.99], state="failed", exit={"error": "OSError: disk full"})
    for seed in (0, 1):
        folder.run(f"c{seed}", {BATCH: 1024}, seed, [0.3], state="diverged")
    folder.run("c2", {BATCH: 1024}, 2, [0.3, 0.4], losses=[0.5, "nan"])
    folder.run("c3", {BATCH: 1024}, 3, [0.6], state="lost")
    folder.run("c4", {BATCH: 1024}, 4, state=None)
    folder.run("d0", {BATCH: 4096}, 0, [0.10, 0.10])
    folder.run("d5", {BATCH: 4096}, 5, [0.5, 0.99])
    found = collect(folder.path)
    return dataclasses.replace(found, source=dataclasses.replace(found.source, baseline={BATCH: 64}))


def close(found: str, expected: str) -> bool:
    """Whether two tables are the same, numbers to the eight digits that stand here."""
    cells = [[line.split(",") for line in text.splitlines()] for text in (found, expected)]
    return [len(row) for row in cells[0]] == [len(row) for row in cells[1]] and all(
        ours == theirs or (ours and theirs and float(ours) == pytest.approx(float(theirs), rel=2e-7))
        for row, other in zip(*cells, strict=True)
        for ours, theirs in zip(row, other, strict=True)
    )


def test_accuracy_and_differences(results: Results) -> None:
    accuracy = "".join(
        ",".join(line.split(",")[:13]) + "\n" for line in results.tables["accuracy"].to_csv().splitlines()
    )
    assert close(accuracy, ACCURACY), accuracy
    assert close(results.tables["differences"].to_csv(), DIFFERENCES), results.tables["differences"].to_csv()
    assert results.tables["accuracy_wide"].to_csv() == WIDE


@pytest.mark.parametrize("name", MARKDOWN)
def test_tables_for_people(results: Results, name: str) -> None:
    shown = {table.name: table for table in results.presented()}
    assert set(shown) >= set(MARKDOWN)
    assert shown[name].table.to_markdown(shown[name].caption) == MARKDOWN[name]


def test_every_run_is_counted_once(results: Results) -> None:
    for point in results.points:
        assert point.accuracy.n + point.n_diverged + point.n_missing == len(point.runs)
    rows = results.tables["differences"].rows
    assert [row["n"] + row["n_diverged"] + row["n_missing"] for row in rows] == [5, 5, 6]


def test_a_baseline_that_no_point_is_is_said(results: Results) -> None:
    source = dataclasses.replace(results.source, baseline={BATCH: 32})
    without = dataclasses.replace(results, source=source)
    assert without.tables["differences"].rows == []
    assert "No point is the baseline (recipe.batch_size 32): differences.csv is empty." in without.notes()
    assert "differences" not in {table.name for table in without.presented()}
