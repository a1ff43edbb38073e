"""The final weights of training with noise and in half precision on 1, 2 and 3 ranks, side by side."""

from __future__ import annotations

from typing import Any

import pytest
from points import distance
from test_invariance import final

POINTS = {
    "noisy": ("noise.all_kinds", (1, 2, 3), 1e-5),
    "noisy-sam": ("noise.with_sam_and_batch_norm", (1, 3), 2e-5),
    # Weights that differ in the last bits of float32 may be rounded to other numbers of 16 bits.
    "bfloat16-dynamic": ("noise.half_precision_with_everything", (1, 3), 1e-3),
    "float16-dynamic": ("noise.half_precision_with_everything", (1, 3), 1e-3),
    "float16-512": ("noise.half_precision_with_everything", (1, 3), 1e-3),
}


@pytest.mark.parametrize(
    ("name", "numbers", "bound"),
    [
        pytest.param(name, numbers, bound, marks=pytest.mark.uses(check, *numbers))
        for name, (check, numbers, bound) in POINTS.items()
    ],
)
def test_any_number_of_ranks_trains_the_same_weights(
    name: str, numbers: tuple[int, ...], bound: float, sessions: Any
) -> None:
    one = final(sessions, 1, name)
    distances = {number: distance(final(sessions, number, name), one) for number in numbers[1:]}
    assert max(distances.values()) < bound, distances
