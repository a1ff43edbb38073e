"""The weights of a recipe of twelve workers on 1, 2 and 3 ranks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from points import distance

NUMBERS = (1, 2, 3)


@pytest.mark.uses("virtual_workers.everything_at_once", *NUMBERS)
def test_batch_norm_dropout_and_augmentation_are_the_same_on_any_number_of_ranks(sessions: Any) -> None:
    found = {}
    for number in NUMBERS:
        with np.load(sessions(number).out / "virtual.npz") as file:
            found[number] = [file[key] for key in file.files]
    distances = {number: distance(found[number], found[1]) for number in NUMBERS[1:]}
    assert max(distances.values()) < 1e-5, distances
