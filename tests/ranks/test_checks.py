"""Every check of `check_*.py`, on each of its numbers of ranks, under real mpirun."""

from __future__ import annotations

from typing import Any

import pytest
from rank_checks import Check, collect

# By number, so that the first test of each waits for its session, and no test for all of them.
CASES = [(check, number) for number in (1, 2, 3, 4) for check in collect() if number in check.ranks]


@pytest.mark.parametrize(("check", "number"), CASES, ids=[f"{check.id}-{number}" for check, number in CASES])
def test_on_ranks(check: Check, number: int, sessions: Any) -> None:
    problem = sessions(number).outcome(check)
    if problem:
        pytest.fail(f"{check.id} on {number} ranks\n{problem}", pytrace=False)
