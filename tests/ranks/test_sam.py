"""The final weights of training with SAM on 1, 2 and 3 ranks, side by side."""

from __future__ import annotations

from typing import Any

import pytest
from points import distance
from test_invariance import final

NUMBERS = (1, 2, 3)
POINTS = {
    "sam-worker": "sam.of_each_group",
    "sam-blocks": "sam.of_blocks",
    "sam-global": "sam.of_all",
    "sam-across": "sam.across",
    "sam-dropout": "sam.dropout",
    **{f"sam-draw{draw}": "draws.sam" for draw in range(3)},
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.uses(check, *NUMBERS)) for name, check in POINTS.items()]
)
def test_any_number_of_ranks_trains_the_same_weights(name: str, sessions: Any) -> None:
    one = final(sessions, 1, name)
    distances = {number: distance(final(sessions, number, name), one) for number in NUMBERS[1:]}
    assert max(distances.values()) < 2e-5, distances
