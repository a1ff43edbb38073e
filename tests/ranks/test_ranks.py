"""Every check of `check_*.py`, on each of its numbers of ranks, under real mpirun."""

from __future__ import annotations

from typing import Any

import pytest
from rank_checks import Check, collect

CASES = [(check, number) for check in collect() for number in check.ranks]


@pytest.mark.parametrize(("check", "number"), CASES, ids=[f"{check.id}-{number}" for check, number in CASES])
def test_on_ranks(check: Check, number: int, sessions: Any) -> None:
    problem = sessions(number).outcome(check)
    if problem:
        pytest.fail(f"{check.id} on {number} ranks\n{problem}", pytrace=False)
