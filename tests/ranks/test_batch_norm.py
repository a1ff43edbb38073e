"""Final weights and moving statistics of every kind of batch norm on any number of ranks, side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from points import distance
from test_invariance import final

POINTS = {
    "sync-33": ("sync", (2, 3, 4)),
    "sync-35": ("sync", (2, 3, 4)),
    "blocks": ("blocks", (2, 4)),
    "small-blocks": ("small_blocks", (2, 3)),
    "ghost": ("ghost", (2, 3)),
}
NETWORK = ("ghost", "sync")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.uses(f"batch_norm.{check}", 1, *numbers))
        for name, (check, numbers) in POINTS.items()
    ],
)
def test_any_number_of_ranks_trains_the_same(name: str, sessions: Any) -> None:
    one = final(sessions, 1, f"norm-{name}")
    distances = {n: distance(final(sessions, n, f"norm-{name}"), one) for n in POINTS[name][1]}
    assert max(distances.values()) < 1e-5, distances


def _network(sessions: Any, number: int, kind: str) -> list[np.ndarray]:
    """All variables as one: some of them have hardly left 0, and are round-off."""
    return [np.concatenate([np.ravel(v) for v in final(sessions, number, f"norm-resnet20-{kind}")])]


@pytest.mark.parametrize("kind", NETWORK)
@pytest.mark.uses("batch_norm.words_of_a_network", 1, 2)
def test_a_residual_network_is_the_same_on_two_ranks(kind: str, sessions: Any) -> None:
    assert distance(_network(sessions, 2, kind), _network(sessions, 1, kind)) < 1e-6


@pytest.mark.uses("batch_norm.words_of_a_network", 1)
def test_the_kinds_train_different_networks(sessions: Any) -> None:
    assert distance(_network(sessions, 1, "ghost"), _network(sessions, 1, "sync")) > 1e-4
