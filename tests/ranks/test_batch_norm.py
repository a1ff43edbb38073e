"""Final weights and moving statistics of every kind of batch norm on any number of ranks, side by side."""

from __future__ import annotations

from typing import Any

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
# ResNet-20 multiplies round-off by more layers.
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


@pytest.mark.parametrize("kind", NETWORK)
@pytest.mark.uses("batch_norm.words_of_a_network", 1, 2, 3)
def test_a_residual_network_is_the_same_on_any_number_of_ranks(kind: str, sessions: Any) -> None:
    name = f"norm-resnet20-{kind}"
    one = final(sessions, 1, name)
    distances = {n: distance(final(sessions, n, name), one) for n in (2, 3)}
    assert max(distances.values()) < 1e-4, distances


@pytest.mark.uses("batch_norm.words_of_a_network", 1)
def test_the_kinds_train_different_weights(sessions: Any) -> None:
    ghost, sync = (final(sessions, 1, f"norm-resnet20-{kind}") for kind in NETWORK)
    assert distance(ghost, sync) > 1e-2
