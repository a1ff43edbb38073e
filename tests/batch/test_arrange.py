"""Plans: every run in exactly one element, nodes and arrays within the site's limits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from planning import machine, spec, specs

from horovod_lb.batch.arrange import Options, Planned, plan_jobs
from horovod_lb.errors import RequestError
from horovod_lb.machines import Machine
from horovod_lb.runs import traces
from horovod_lb.schedulers.render import render

HERE = Path("/somewhere/submission")


def plan(
    runs: list[dict], site: Machine | None = None, room: int | None = None, **options: object
) -> list[Planned]:
    return plan_jobs(
        runs,
        site or machine(),
        folder=HERE,
        options=Options(**options),  # type: ignore[arg-type]
        token="abc123",
        room=room,
    )


def test_runs_of_a_shape_are_elements_of_one_array() -> None:
    (job,) = plan(specs(7))
    assert job.run_ids == tuple(f"r{number:05}" for number in range(7))
    request = job.request
    assert (request.name, request.runs, job.script) == ("study-abc123-1", "1.txt", "1.sh")
    assert request.folder == HERE
    assert request.array is not None
    assert (request.array.first, request.array.last, request.array.throttle) == (0, 6, None)
    assert (request.nodes, request.ranks, request.threads) == (1, 6, 2)
    assert (request.minutes, job.links, job.segments) == (120, 1, 1)
    assert job.node_hours == pytest.approx(7 * 1 * 2.0)


def test_one_run_is_a_job_without_an_array() -> None:
    (job,) = plan(specs(1))
    assert job.request.array is None
    assert job.job().elements == 1
    assert list(job.job().refs()) == [("r00000", [])]


def test_lsf_counts_from_one() -> None:
    (job,) = plan(specs(3), machine(scheduler="lsf", launcher="jsrun"))
    assert job.request.array is not None
    assert (job.request.array.first, job.request.array.last) == (1, 3)


def test_what_differs_in_shape_does_not_share_a_script() -> None:
    runs = [
        spec("a", workers=6),
        spec("b", workers=12),
        spec("c", workers=6, allreduce="hierarchical"),
        spec("d", workers=6, walltime="1:00"),
        spec("e", workers=12),
    ]
    jobs = plan(runs)
    assert [job.run_ids for job in jobs] == [("a",), ("b", "e"), ("c",), ("d",)]
    assert [job.request.name[-1] for job in jobs] == ["1", "2", "3", "4"]
    assert [job.request.nodes for job in jobs] == [1, 2, 1, 1]
    assert [job.request.minutes for job in jobs] == [120, 120, 120, 60]
    assert jobs[2].request.allreduce == "hierarchical"


@settings(max_examples=150, deadline=None)
@given(
    counts=some.lists(some.integers(1, 40), min_size=1, max_size=3),
    workers=some.lists(some.sampled_from([1, 2, 3, 4, 6, 12, 18]), min_size=3, max_size=3, unique=True),
    pack=some.integers(1, 9),
    side=some.none() | some.integers(1, 5),
    array_size=some.none() | some.integers(1, 12),
    throttle=some.none() | some.integers(1, 6),
    room=some.none() | some.integers(0, 30),
    walltime=some.sampled_from([None, "1:00", "7:00"]),
    resume=some.sampled_from(["chain", "requeue"]),
)
def test_every_run_is_in_one_element_of_one_job(
    counts: list[int],
    workers: list[int],
    pack: int,
    side: int | None,
    array_size: int | None,
    throttle: int | None,
    room: int | None,
    walltime: str | None,
    resume: str,
) -> None:
    runs = [
        spec(f"{shape}-{number}", workers=workers[shape], walltime=walltime)
        for shape, count in enumerate(counts)
        for number in range(count)
    ]
    side = side if side is None or side <= pack else pack
    limits = {} if array_size is None else {"array_size": array_size}
    site = machine(limits=limits, resume=resume, nodes=999, walltimes=[{"nodes": [1, 999], "limit": "2:00"}])
    jobs = plan(runs, site, room=room, pack=pack, side_by_side=side, throttle=throttle)
    where = Counter(run_id for job in jobs for run_id in job.run_ids)
    assert not where or max(where.values()) == 1
    if room is None:
        assert set(where) == {run["run_id"] for run in runs}
    else:
        assert sum(job.elements * job.links for job in jobs) <= room
    for job in jobs:
        request, record = job.request, job.job()
        assert job.elements <= (array_size or 1000)
        elements = Counter(record.index_of(position) for position in range(len(record.runs)))
        assert max(elements.values()) <= pack
        if request.array is not None:
            assert set(elements) == set(request.array.indices)
            assert request.array.throttle is None or request.array.throttle < job.elements
        else:
            assert set(elements) == {None}
        # The nodes hold what runs on them at a time, a small run never on two nodes.
        ranks = request.ranks
        a_node = 6 // ranks if ranks < 6 else 1
        held = request.nodes * a_node if ranks < 6 else request.nodes * 6 // ranks
        assert held >= request.side_by_side
        assert request.side_by_side <= request.pack
        assert job.links == (job.segments if resume == "chain" else 1)
        assert len(record.links) == job.links
        assert job.expected <= job.node_hours + 1e-9 or len(job.run_ids) % request.pack


def test_a_pack_fills_the_node_of_small_runs() -> None:
    (job,) = plan(specs(12, workers=2), pack=6)
    assert (job.request.nodes, job.request.side_by_side, job.elements) == (1, 3, 2)
    (job,) = plan(specs(12, workers=2), pack=6, side_by_side=6)
    assert (job.request.nodes, job.request.side_by_side) == (2, 6)
    (job,) = plan(specs(12, workers=12), pack=6)
    assert (job.request.nodes, job.request.side_by_side) == (2, 1)
    (job,) = plan(specs(12, workers=12), pack=6, side_by_side=2)
    assert (job.request.nodes, job.request.side_by_side) == (4, 2)
    assert job.steps_a_node == 1
    # 4 of 6 ranks: a second run does not fit on the node
    (job,) = plan(specs(12, workers=4), pack=6, side_by_side=2)
    assert (job.request.nodes, job.request.side_by_side) == (2, 2)


def test_a_pack_takes_as_long_as_its_rounds() -> None:
    (job,) = plan(specs(6, workers=6, walltime="0:20"), pack=3)
    assert (job.request.minutes, job.segments, job.elements) == (60, 1, 2)
    (job,) = plan(specs(6, workers=2, walltime="0:20"), pack=6)
    assert (job.request.minutes, job.request.side_by_side) == (40, 3)
    # 8 x 20 minutes do not fit into 2:00: two lives of at most 115 usable minutes
    (job,) = plan(specs(8, workers=6, walltime="0:20"), pack=8)
    assert (job.request.minutes, job.segments) == (120, 2)


def test_a_long_run_is_a_chain_or_requeues() -> None:
    (job,) = plan(specs(3, walltime="9:00"), machine(resume="chain"))
    # 540 minutes in lives of 115
    assert (job.links, job.segments, job.request.minutes) == (5, 5, 120)
    assert job.node_hours == pytest.approx(3 * 5 * 2.0)
    assert job.expected == pytest.approx(3 * 9.0)
    (job,) = plan(specs(3, walltime="9:00"), machine(resume="requeue"))
    assert (job.links, job.segments) == (1, 5)
    assert job.node_hours == pytest.approx(3 * 5 * 2.0)
    with pytest.raises(RequestError, match='resume = "none"'):
        plan(specs(3, walltime="9:00"), machine(resume="none"))


def test_arrays_stay_within_the_limits() -> None:
    jobs = plan(specs(25), machine(limits={"array_size": 10, "eligible": 4}))
    assert [job.elements for job in jobs] == [10, 10, 5]
    assert [job.request.array.throttle for job in jobs if job.request.array] == [4, 4, 4]
    assert [job.request.array.throttle for job in plan(specs(25), throttle=3) if job.request.array] == [3]
    jobs = plan(specs(25, walltime="9:00"), machine(limits={"queued": 20}, resume="chain"))
    assert [(job.elements, job.links) for job in jobs] == [(4, 5)] * 6 + [(1, 5)]
    assert len(plan(specs(2500))) == 3


def test_room_in_the_queue_counts_every_link_of_a_chain() -> None:
    runs = specs(10, walltime="3:00")
    assert sum(len(job.run_ids) for job in plan(runs, machine(resume="chain"), room=7)) == 3
    assert sum(len(job.run_ids) for job in plan(runs, machine(resume="requeue"), room=7)) == 7
    assert plan(runs, room=0) == []
    packed = plan(runs, machine(resume="requeue"), room=2, pack=3)
    assert [job.run_ids for job in packed] == [tuple(f"r{number:05}" for number in range(6))]


def test_workers_must_divide_the_groups() -> None:
    (job,) = plan([spec("a", workers=240)], machine(), workers=24)
    assert (job.request.ranks, job.request.nodes) == (24, 4)
    with pytest.raises(RequestError) as caught:
        plan([spec("a", workers=24)], workers=7)
    assert "1, 2, 3, 4, 6, 8, 12, 24" in str(caught.value)
    (job,) = plan([spec("a", workers=24)], ranks={"a": 8})
    assert job.request.ranks == 8


@pytest.mark.parametrize("options", [{"pack": 0}, {"side_by_side": 0}, {"throttle": 0}, {"max_failures": -1}])
def test_counts_are_at_least_one(options: dict[str, int]) -> None:
    with pytest.raises(RequestError, match="at least 1"):
        plan(specs(2), **options)


def test_side_by_side_needs_a_pack() -> None:
    with pytest.raises(RequestError, match="--pack N"):
        plan(specs(4), side_by_side=2)


def test_data_are_staged_from_the_folder_of_the_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    site = machine(storage={"node_local": "/local", "stage_in": "cp -r $HLB_STAGE_FROM $HLB_STAGE_TO"})
    runs = specs(2)
    runs[1]["data"]["root"] = "/data/b"
    monkeypatch.setenv("HLB_DATA", "/data/a")
    jobs = plan(runs, site)
    assert [job.request.stage_from for job in jobs] == [Path("/data/a"), Path("/data/b")]
    assert jobs[0].request.environment == {"HLB_DATA": "/data/a"}
    (job,) = plan(runs)
    assert job.request.stage_from is None


def test_what_is_asked_for_beside_results_reaches_the_ranks(tmp_path: Path) -> None:
    asked = traces.environment(tensorboard=True, timeline=True)
    assert asked == {"HLB_TENSORBOARD": "1", "HLB_TIMELINE": "1", "HOROVOD_TIMELINE": "DYNAMIC"}
    for launcher in ("srun", "mpirun"):
        (job,) = plan_jobs(
            specs(1), machine(launcher=launcher), folder=tmp_path, options=Options(environment=asked)
        )
        script = render(job.request)
        for name, value in asked.items():
            assert f"export {name}={value}\n" in script
            assert launcher == "srun" or f"-x {name}" in script
    (job,) = plan_jobs(specs(1), machine(), folder=tmp_path, options=Options())
    assert "TIMELINE" not in render(job.request)
