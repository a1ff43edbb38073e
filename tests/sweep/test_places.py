from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from horovod_lb.errors import RequestError
from horovod_lb.sweep.nodes import Node
from horovod_lb.sweep.places import Hosts, Place, ThisMachine

SUMMIT = [Node(f"h{i}", 6, 42, tuple("012345")) for i in range(3)]


def ranks_on_hosts(place: Place) -> dict[str, int]:
    return {host.split(":")[0]: int(host.split(":")[1]) for host in place.hosts or ()}


@st.composite
def clusters(draw: st.DrawFn) -> list[Node]:
    nodes = []
    for number in range(draw(st.integers(1, 5))):
        slots = draw(st.integers(1, 8))
        gpus = draw(st.sampled_from([(), tuple(f"g{number}.{i}" for i in range(slots))]))
        nodes.append(Node(f"h{number}", slots, draw(st.integers(1, 48)), gpus))
    return nodes


@given(clusters(), st.integers(1, 40), st.integers(1, 20))
def test_sessions_share_neither_slots_nor_gpus_nor_cores(nodes: list[Node], ranks: int, runs: int) -> None:
    lender = Hosts(nodes)
    assume(ranks <= lender.ranks)
    places, threads = lender.places(ranks, runs)
    assert 1 <= len(places) <= runs
    by_name = {node.name: node for node in nodes}
    used: Counter[str] = Counter()
    sessions = Counter(name for place in places for name in ranks_on_hosts(place))
    gpus: defaultdict[str, list[str]] = defaultdict(list)
    for place in places:
        on = ranks_on_hosts(place)
        assert sum(on.values()) == ranks
        used.update(on)
        own = place.environment.get("CUDA_VISIBLE_DEVICES")
        for name, count in on.items():
            if own is not None:
                assert len(own.split(",")) == count
                gpus[name] += own.split(",")
            else:
                assert sessions[name] == 1 or not by_name[name].gpus, "two sessions would take the same GPUs"
    for name, count in used.items():
        assert count <= by_name[name].slots
        assert threads == 1 or threads * count <= by_name[name].cores
        assert len(set(gpus[name])) == len(gpus[name])
        assert set(gpus[name]) <= set(by_name[name].gpus)


@given(clusters())
def test_what_it_says_to_hold_fits_and_no_more(nodes: list[Node]) -> None:
    lender = Hosts(nodes)
    assert len(lender.places(lender.ranks, 1)[0]) == 1
    with pytest.raises(RequestError, match="does not fit on these hosts"):
        lender.places(lender.ranks + 1, 1)


def test_small_runs_share_a_node_of_six_gpus_each_with_its_own() -> None:
    places, threads = Hosts(SUMMIT[:1]).places(2, 10)
    assert [place.hosts for place in places] == [("h0:2",)] * 3
    assert [place.environment["CUDA_VISIBLE_DEVICES"] for place in places] == ["0,1", "2,3", "4,5"]
    assert threads == 7


def test_few_runs_are_spread_over_the_hosts_and_get_more_threads() -> None:
    places, threads = Hosts(SUMMIT).places(2, 3)
    assert [place.hosts for place in places] == [("h0:2",), ("h1:2",), ("h2:2",)]
    assert threads == 21


def test_a_large_run_gets_whole_hosts_in_equal_parts() -> None:
    places, threads = Hosts(SUMMIT).places(8, 5)
    assert [(place.hosts, place.environment) for place in places] == [(("h0:4", "h1:4"), {})]
    assert threads == 10


def test_a_host_shows_the_gpus_that_the_scheduler_gave() -> None:
    places, _ = Hosts([Node("h", 2, 4, ("3", "GPU-5f"))]).places(1, 2)
    assert [place.environment["CUDA_VISIBLE_DEVICES"] for place in places] == ["3", "GPU-5f"]


def test_hosts_are_told_in_a_line() -> None:
    assert str(Hosts(SUMMIT)) == "3 hosts for 6 ranks each (42 cores, 6 GPUs)"
    assert str(Hosts([*SUMMIT[:1], Node("x", 1, 2)])).endswith("; 1 host for 1 ranks each (2 cores, 0 GPUs)")


def test_this_machine_takes_rehearsals_with_more_ranks_than_cores() -> None:
    assert ThisMachine(2).places(8, 3) == ([Place()], 1)
