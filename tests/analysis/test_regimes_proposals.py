"""What `hlb regimes` proposes to run next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from made_runs import Folder
from scipy import stats

from horovod_lb.analysis import Results, collect
from horovod_lb.analysis.regimes import Proposal, survey
from horovod_lb.analysis.regimes.proposal import next_batch_size, seeds_needed

KIND, RATE = "recipe.optimizer.kind", "recipe.reference.learning_rate"


@pytest.mark.parametrize(
    ("low", "high", "full", "expected"),
    [
        (1024, 16384, None, 4096),  # halved on a logarithmic scale
        (1024, 8192, None, 4096),
        (8192, 60000, None, 16384),
        (8192, 20000, None, 12288),  # less than two octaves: a multiple of a quarter of the lower end
        (1024, 2048, None, None),  # narrow enough
        (8192, None, 60000, 16384),  # no upper end: doubled
        (32768, None, 60000, 60000),  # at most the full batch
        (60000, None, 60000, None),
        (8192, None, None, 16384),
    ],
)
def test_the_next_batch_size(low: int, high: int | None, full: int | None, expected: int | None) -> None:
    assert next_batch_size(low, high, 2.0, full) == expected


def test_a_narrower_bracket_is_asked_for() -> None:
    assert next_batch_size(1024, 2048, 1.2, None) == 1536
    assert next_batch_size(1024, 1200, 1.2, None) is None
    assert (
        next_batch_size(1024, 1280, 1.2, None) == 1152
    )  # a multiple of an eighth: of a quarter there is none
    assert next_batch_size(100, 102, 1.01, None) == 101  # nor of a smaller unit: the middle
    assert next_batch_size(100, 101, 1.005, None) is None  # nothing is inside


def test_bisection_ends_and_stays_inside() -> None:
    for widest in range(300, 70000, 977):
        low, high, steps = 256, widest, 0
        while (following := next_batch_size(low, high, 2.0, None)) is not None:
            assert low < following < high
            low, high = (following, high) if steps % 2 else (low, following)
            steps += 1
            assert steps < 12
        assert high <= 2 * low


def test_as_many_seeds_as_would_tell_the_difference() -> None:
    here, there = [0.984, 0.988, 0.983], [0.991, 0.992, 0.993]
    needed = seeds_needed(here, there)
    assert needed is not None

    def sure(n: int) -> float:
        difference = abs(sum(here) / 3 - 0.995 * sum(there) / 3)
        variance = stats.tvar(here) + 0.995**2 * stats.tvar(there)
        return float(stats.t.cdf(difference / (variance / n) ** 0.5, 2 * n - 2))

    assert sure(needed) >= 0.95 > sure(needed - 1)


def test_seeds_that_would_be_too_many_and_a_spread_that_is_not_known() -> None:
    assert seeds_needed([0.98, 0.99], [0.99, 0.9895]) is None
    assert seeds_needed([0.98], [0.99, 0.98]) == 3


def made(folder: Folder, batches: dict[int, float], spread: float = 0.0005, **spec: Any) -> None:
    """Runs of three seeds at linearly scaled rates from 0.1 at 256."""
    for batch, value in batches.items():
        for seed in range(3):
            folder.run(
                f"{batch}-{seed}",
                {"recipe.batch_size": batch, KIND: "momentum"},
                seed,
                [value + spread * (seed - 1)],
                derived={"batch_size": batch, "learning_rate_peak": 0.1 * batch / 256, "epochs": 30},
                losses=[0.03],
                **spec,
            )


def proposals(results: Results, factor: float = 2.0) -> list[Proposal]:
    return survey(results).proposals(factor)


def test_a_wide_bracket_is_halved_with_the_words_for_the_study(folder: Folder) -> None:
    made(folder, {256: 0.99, 4096: 0.97}, recipe={"groups": 6, "scaling": "linear"})
    (both,) = proposals(collect(folder.path))  # one technique, linearly scaled: the same run narrows both
    assert (both.boundary, both.batch_size) == ("B_L, B_H", 1026)  # 1024 cut into 6 groups
    assert yaml.safe_load(both.words()) == [{"recipe.batch_size": 1026, KIND: "momentum"}]


def test_the_rate_scales_linearly_even_where_the_studys_does_not(folder: Folder) -> None:
    made(folder, {256: 0.99, 4096: 0.97}, recipe={"scaling": "sqrt"})
    (large,) = [proposal for proposal in proposals(collect(folder.path)) if proposal.boundary == "B_L"]
    assert yaml.safe_load(large.words()) == [
        {
            "recipe.batch_size": 1024,
            KIND: "momentum",
            "recipe.scaling": "linear",
            "recipe.reference.batch_size": 256,
            RATE: 0.1,
        }
    ]


def test_without_an_upper_end_the_batch_is_doubled_up_to_the_full_one(folder: Folder) -> None:
    made(folder, {256: 0.99, 32768: 0.99}, data={"name": "mnist", "holdout": 0})
    assert {proposal.batch_size for proposal in proposals(collect(folder.path))} == {60000}


def test_undecided_ends_get_seeds(folder: Folder) -> None:
    made(folder, {256: 0.99, 512: 0.9853, 1024: 0.97}, spread=0.002)
    found = proposals(collect(folder.path))
    assert found and all(proposal.seeds and proposal.batch_size == 512 for proposal in found)
    assert all(proposal.seeds[:3] == (0, 1, 2) and len(proposal.seeds) > 3 for proposal in found)
    assert found[0].words().startswith("seeds: [0, 1, 2, 3")


def test_a_decided_bracket_within_the_factor_needs_nothing(folder: Folder) -> None:
    made(folder, {256: 0.99, 512: 0.99, 1024: 0.97})
    assert proposals(collect(folder.path)) == []
    assert {proposal.batch_size for proposal in proposals(collect(folder.path), 1.5)} == {768}


def test_a_rate_at_the_edge_of_what_was_tried_is_followed(folder: Folder) -> None:
    for batch, values in ((256, (0.98, 0.99, 0.98)), (512, (0.95, 0.96, 0.97))):
        for rate, value in zip((0.1, 0.2, 0.4), values, strict=True):
            for seed in range(3):
                point = {"recipe.batch_size": batch, RATE: rate}
                folder.run(f"{batch}-{rate}-{seed}", point, seed, [value + 0.0001 * seed])
    results = collect(folder.path)
    results = replace(results, source=replace(results.source, baseline={"recipe.batch_size": 256}))
    (proposal,) = proposals(results)
    assert yaml.safe_load(proposal.words()) == [{"recipe.batch_size": 512, RATE: 0.8}]
    assert "highest tried" in proposal.why


def test_groups_that_are_an_axis_keep_their_size(folder: Folder) -> None:
    for batch, value in ((256, 0.99), (4096, 0.97)):
        for seed in range(2):
            folder.run(
                f"{batch}-{seed}",
                {"recipe.batch_size": batch, "recipe.groups": batch // 32},
                seed,
                [value + 0.0001 * seed],
            )
    (huge,) = [proposal for proposal in proposals(collect(folder.path)) if proposal.boundary == "B_H"]
    assert huge.point == {"recipe.batch_size": 1024, "recipe.groups": 32}


def test_what_the_study_has_already_is_only_to_be_run(folder: Folder) -> None:
    made(folder, {256: 0.99, 4096: 0.97}, recipe={"scaling": "linear"})
    for seed in range(3):
        folder.run(f"new-{seed}", {"recipe.batch_size": 1024, KIND: "momentum"}, seed, state=None)
    (both,) = proposals(collect(folder.path))
    assert both.batch_size == 1024 and both.planned


def test_runs_without_a_result_are_to_be_run_before_new_seeds(folder: Folder) -> None:
    made(folder, {256: 0.99})
    folder.run("one", {"recipe.batch_size": 512, KIND: "momentum"}, 0, [0.97])
    for seed in (1, 2):
        folder.run(f"missing-{seed}", {"recipe.batch_size": 512, KIND: "momentum"}, seed, state=None)
    (seeds,) = [proposal for proposal in proposals(collect(folder.path)) if proposal.seeds]
    assert seeds.planned and seeds.seeds == (0, 1, 2)
    assert "2 of its and the baseline's runs have no result yet" in seeds.why


def test_sections_that_are_an_axis_are_written_in_full_and_labels_kept(folder: Folder) -> None:
    lars = {"kind": "lars", "momentum": 0.9, "exclude": []}
    for batch, value in ((256, 0.99), (4096, 0.97)):
        for seed in range(2):
            point = {
                "label": "LARS",
                "recipe.batch_size": batch,
                "recipe.optimizer": "kind=lars, momentum=0.9",
            }
            folder.run(
                f"{batch}-{seed}",
                point,
                seed,
                [value + 0.0001 * seed],
                recipe={"optimizer": lars, "groups": 2},
            )
    (huge,) = [proposal for proposal in proposals(collect(folder.path)) if proposal.boundary == "B_H"]
    assert yaml.safe_load(huge.words()) == [
        {"recipe.batch_size": 1024, "label": "LARS", "recipe.optimizer": lars}
    ]


def test_without_a_result_nothing_is_proposed(folder: Folder) -> None:
    folder.run("a", {"recipe.batch_size": 256}, 0, state=None)
    assert proposals(collect(folder.path)) == []
