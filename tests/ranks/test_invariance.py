"""The final weights of a study point on 1, 2, 3 and 4 ranks, side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from points import distance

NUMBERS = (1, 2, 3, 4)
POINTS = {
    "plain": "study_points.plain",
    "weighted": "study_points.weighted_with_penalties",
    "wrap": "study_points.wrap_with_decoupled_decay",
    "dropout": "study_points.drop_with_dropout",
    "batch-norm": "study_points.batch_norm",
    "embedding": "study_points.embedding_and_frozen_weights",
    "batch-norm-weighted": "study_points.batch_norm_with_a_last_step_of_one_example",
}


def final(sessions: Any, number: int, name: str) -> list[np.ndarray]:
    path = sessions(number).out / f"{name}.npz"
    assert path.exists(), f"{name} left no weights on {number} ranks"
    with np.load(path) as file:
        return [file[key] for key in file.files]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.uses(check, *NUMBERS)) for name, check in POINTS.items()]
)
def test_any_number_of_ranks_trains_the_same_weights(name: str, sessions: Any) -> None:
    one = final(sessions, 1, name)
    distances = {number: distance(final(sessions, number, name), one) for number in NUMBERS[1:]}
    assert max(distances.values()) < 1e-5, distances


@pytest.mark.parametrize("name", ["lars", "layerwise"])
@pytest.mark.uses("study_points.trust_ratios", 1, 2, 3)
def test_any_number_of_ranks_has_the_same_trust_ratios(name: str, sessions: Any) -> None:
    one = final(sessions, 1, name)
    distances = {number: distance(final(sessions, number, name), one) for number in (2, 3)}
    assert max(distances.values()) < 1e-5, distances


@pytest.mark.uses("study_points.plain", 4)
@pytest.mark.uses("study_points.without_accumulation", 1)
def test_accumulation_on_one_rank_changes_nothing(sessions: Any) -> None:
    assert distance(final(sessions, 1, "plain-one-group"), final(sessions, 4, "plain")) < 1e-5
