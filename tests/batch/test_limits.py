"""What a site does not allow, said before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from planning import machine, spec, specs

from horovod_lb.batch import limits
from horovod_lb.batch.arrange import Options, plan_jobs
from horovod_lb.errors import RequestError

HERE = Path("/x")


def test_an_account_where_the_machine_wants_one() -> None:
    with pytest.raises(RequestError) as caught:
        plan_jobs(specs(1), machine(account_required=True), folder=HERE, options=Options())
    assert "--account NAME" in str(caught.value)
    assert "machines/site.toml" in str(caught.value)
    assert plan_jobs(specs(1), machine(account_required=True, account="abc"), folder=HERE, options=Options())


def test_a_machine_without_a_scheduler() -> None:
    with pytest.raises(RequestError, match="hlb run"):
        limits.check_machine(machine(scheduler="none", launcher="mpirun", walltimes=[]))


def test_more_nodes_than_there_are() -> None:
    with pytest.raises(RequestError) as caught:
        plan_jobs([spec("r", workers=240)], machine(), folder=HERE, options=Options())
    words = str(caught.value)
    assert "240 ranks take 40 nodes, and site has 16 with 6 ranks on each" in words
    # the greatest divisor of 240 that 96 ranks hold
    assert "--workers 80 (14 nodes)" in words
    with pytest.raises(RequestError, match="smaller --side-by-side"):
        plan_jobs(specs(9, workers=48), machine(), folder=HERE, options=Options(pack=9, side_by_side=9))


def test_without_a_number_of_nodes_the_bins_say_it() -> None:
    site = machine(nodes=None)
    with pytest.raises(RequestError, match="site has 16"):
        plan_jobs([spec("r", workers=102)], site, folder=HERE, options=Options())
    assert (
        plan_jobs(
            [spec("r", workers=600)],
            machine(nodes=None, walltimes=[]),
            folder=HERE,
            options=Options(walltime=60),
        )[0].request.nodes
        == 100
    )


def test_the_budget_is_compared_with_the_most_it_can_cost() -> None:
    # 10 runs on 1 node for 1 hour
    jobs = plan_jobs(specs(10, walltime="1:00"), machine(), folder=HERE, options=Options())
    limits.check_budget(jobs, None)
    limits.check_budget(jobs, 10.0)
    with pytest.raises(RequestError) as caught:
        limits.check_budget(jobs, 7.5)
    assert "may cost 10.0 node-hours" in str(caught.value)
    assert "the first 7 of the 10 runs would fit" in str(caught.value)
    with pytest.raises(RequestError, match="no run would fit"):
        limits.check_budget(jobs, 0.5)


def test_what_fits_a_budget_is_counted_in_elements_of_packs_and_segments() -> None:
    # a pack of 4 hours in two lives of 2 hours: 4 node-hours an element of 4 runs
    jobs = plan_jobs(
        specs(12, walltime="0:50"), machine(resume="chain"), folder=HERE, options=Options(pack=4)
    )
    assert [(job.elements, job.segments) for job in jobs] == [(3, 2)]
    assert jobs[0].node_hours == pytest.approx(12)
    with pytest.raises(RequestError, match="the first 8 of the 12 runs"):
        limits.check_budget(jobs, 11.9)
