"""Wall times against their definition, and what is said where there is none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as some
from planning import machine

from horovod_lb.batch.walltime import START_MINUTES, wall_time
from horovod_lb.errors import RequestError


@pytest.mark.parametrize(
    ("nodes", "work", "all_in", "expected"),
    [
        # 60 + 3 to start + 2 of grace = 65
        (1, 60, False, (65, 1)),
        (1, 61, False, (70, 1)),
        (1, 60, True, (60, 1)),
        (1, 58, True, (60, 1)),
        # as long as the bin allows, to the minute
        (4, 115, False, (120, 1)),
        (4, 120, True, (120, 1)),
        # 115 usable minutes a life: 116 take two, 345 three, 346 four
        (4, 116, False, (120, 2)),
        (4, 345, False, (120, 3)),
        (4, 346, False, (120, 4)),
        # the next bin
        (5, 345, False, (350, 1)),
        (16, 121, True, (125, 1)),
        # not known: the longest
        (1, None, False, (120, 1)),
        (9, None, False, (360, 1)),
    ],
)
def test_worked_examples(nodes: int, work: float | None, all_in: bool, expected: tuple[int, int]) -> None:
    found = wall_time(machine(), nodes, work=work, all_in=all_in)
    assert (found.minutes, found.segments) == expected


@given(
    nodes=some.integers(1, 16),
    work=some.floats(0.1, 5000),
    grace=some.integers(1, 30),
    asked=some.none() | some.integers(40, 120),
)
def test_segments_hold_the_work_and_no_fewer_would(
    nodes: int, work: float, grace: int, asked: int | None
) -> None:
    site = machine(grace_minutes=grace)
    found = wall_time(site, nodes, work=work, asked=asked)
    limit = 120 if nodes <= 4 else 360
    assert 0 < found.minutes <= limit
    usable = found.minutes - START_MINUTES - grace
    assert found.segments * usable >= work - 1e-9
    assert (found.segments - 1) * usable < work
    if asked is not None:
        assert found.minutes == asked
    elif found.segments > 1:
        assert found.minutes == limit
    else:
        assert found.minutes % 5 == 0 or found.minutes == limit


def test_without_bins_the_work_decides() -> None:
    found = wall_time(machine(walltimes=[]), 3, work=1000)
    assert (found.minutes, found.segments) == (1005, 1)
    with pytest.raises(RequestError, match=re.escape("--walltime H:MM")):
        wall_time(machine(walltimes=[]), 3, work=None)
    assert wall_time(machine(walltimes=[]), 3, work=None, asked=77).minutes == 77


@pytest.mark.parametrize(("resume", "way"), [("chain", "chain of jobs"), ("requeue", "next life")])
def test_a_wall_time_over_the_limit_names_the_bin_and_what_would_do(resume: str, way: str) -> None:
    with pytest.raises(RequestError) as caught:
        wall_time(machine(resume=resume), 2, work=60, asked=180)
    words = str(caught.value)
    for part in (
        "--walltime 3:00",
        "2 nodes of site end after 2:00",
        "1 to 4 nodes",
        "--walltime 2:00 at most",
    ):
        assert part in words
    assert "5 nodes or more, whose jobs may take 6:00" in words
    assert way in words


def test_no_bin_is_long_enough_for_everything() -> None:
    with pytest.raises(RequestError) as caught:
        wall_time(machine(resume="none"), 16, work=60, asked=361)
    assert "nodes or more" not in str(caught.value)
    assert "no --walltime at all" not in str(caught.value)


def test_work_that_cannot_go_on_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        wall_time(machine(resume="none"), 2, work=200)
    words = str(caught.value)
    assert "needs 3:25 on 2 nodes, gets 2:00" in words
    assert "5 nodes or more" in words
    assert 'resume = "requeue"' in words
    assert wall_time(machine(resume="none"), 2, work=115).segments == 1


def test_a_job_that_only_starts_and_stops_is_refused() -> None:
    with pytest.raises(RequestError, match="0:06 is the least"):
        wall_time(machine(), 1, work=60, asked=5)
    assert wall_time(machine(), 1, work=60, asked=6).segments == 60
    with pytest.raises(RequestError, match="get nowhere"):
        wall_time(machine(walltimes=[{"nodes": [1, 16], "limit": "0:05"}]), 1, work=60)
