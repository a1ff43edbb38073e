"""What is measured in a run on 1, 2 and 3 ranks, side by side."""

from __future__ import annotations

import json
from typing import Any

import pytest


@pytest.mark.uses("measure.noise_scale_of_sam", 1, 2, 3)
def test_the_noise_scale_of_sam_on_any_number_of_ranks(sessions: Any) -> None:
    _agree(sessions, "noise-sam.json")


@pytest.mark.uses("measure.all_measurements", 1, 2, 3)
def test_any_number_of_ranks_measures_the_same(sessions: Any) -> None:
    _agree(sessions, "measured.json")


def _agree(sessions: Any, name: str) -> None:
    tables = [json.loads((sessions(number).out / name).read_text()) for number in (1, 2, 3)]
    for table in tables[1:]:
        for found, expected in zip(table, tables[0], strict=True):
            assert found.keys() == expected.keys()
            for key, value in expected.items():
                assert (
                    found[key] == pytest.approx(value, rel=2e-3, abs=1e-5)
                    if value is not None
                    else found[key] is None
                ), key
