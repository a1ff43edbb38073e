"""Cancelling: which jobs go with which runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from sent_runs import StandIns, end, live, make_run, queue, submit

from horovod_lb.batch import cancel
from horovod_lb.batch.follow import follow
from horovod_lb.runs import RunDirectory
from horovod_lb.schedulers.types import JobRef


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIns:
    made = StandIns(tmp_path / "bin")
    monkeypatch.setenv("PATH", made.environment()["PATH"])
    return made


@pytest.fixture
def study(tmp_path: Path) -> Path:
    for name in "abcdefgh":
        make_run(tmp_path / "s", name)
    return tmp_path / "s"


def refs(plan: cancel.Plan, scheduler: str = "slurm") -> set[str]:
    return {str(ref) for ref in plan.jobs.get(scheduler, ())}


def test_jobs_and_elements_go_whose_runs_are_all_chosen(study: Path, commands: StandIns) -> None:
    submit(study, (["a"], ["1"]), (["b"], ["2"]))
    submit(study, (["c", "d", "e", "f"], ["3"]), pack=2, array=(0, 1))
    submit(study, (["g", "h"], ["4"]), array=(0, 1))
    elements = [f"{job} PENDING Priority" for job in ("1", "2", "3_0", "3_1", "4_0", "4_1")]
    commands.answer("squeue", queue(*elements))
    plan = cancel.plan(follow(study), set("acdeg"))
    assert refs(plan) == {"1", "3_0", "4_0"}
    assert plan.shared == {JobRef("3", 1): 1}


def test_a_whole_array_is_cancelled_by_its_id(study: Path, commands: StandIns) -> None:
    submit(study, (list("abcd"), ["3"]), array=(1, 4))
    commands.answer(
        "squeue", queue("3_1 TIMEOUT x", "3_2 RUNNING None", "3_3 PENDING Priority", "3_4 PENDING Priority")
    )
    plan = cancel.plan(follow(study), set("abcd"))
    assert refs(plan) == {"3"}
    assert refs(cancel.plan(follow(study), set("bc"))) == {"3_2", "3_3"}


def test_a_packed_job_goes_when_the_others_in_it_are_done(study: Path, commands: StandIns) -> None:
    live(RunDirectory(study / "a"), "slurm:5")
    end(RunDirectory(study / "a"), "completed")
    submit(study, (list("abc"), ["5"]), pack=3)
    commands.answer("squeue", queue("5 RUNNING None"))
    assert refs(cancel.plan(follow(study), {"b", "c"})) == {"5"}
    plan = cancel.plan(follow(study), {"b"})
    assert refs(plan) == set()
    assert plan.shared == {JobRef("5"): 1}


def test_every_link_of_a_chain_goes_and_nothing_that_is_over(study: Path, commands: StandIns) -> None:
    submit(study, (["a"], ["1", "2", "3"]), (["b"], [None]))
    commands.answer("squeue", queue("1 TIMEOUT x", "2 RUNNING None", "3 PENDING Dependency"))
    assert refs(cancel.plan(follow(study), {"a", "b"})) == {"2", "3"}


def test_a_job_without_an_id_is_told(study: Path, commands: StandIns) -> None:
    sent = submit(study, (["a"], [None]), age=1)
    plan = cancel.plan(follow(study), {"a"})
    assert plan.nameless == (sent.jobs[0].name,)
    assert not plan.jobs


def test_one_command_a_scheduler(study: Path, commands: StandIns) -> None:
    submit(study, (["a"], ["1"]), (["b"], ["2"]))
    submit(study, (["c"], ["7"]), scheduler="lsf")
    commands.answer("squeue", queue("1 PENDING Priority", "2 RUNNING None"))
    commands.answer("bjobs", '{"RECORDS": [{"JOBID": "7", "STAT": "PEND"}]}')
    commands.answer("bkill", "Job <7> is being terminated\n")
    plan = cancel.plan(follow(study), set("abc"))
    assert cancel.carry_out(plan) == {}
    assert commands.calls("scancel") == ["1 2"]
    assert commands.calls("bkill") == ["7"]


def test_what_is_over_already_is_no_problem_and_everything_else_is(study: Path, commands: StandIns) -> None:
    submit(study, (["c"], ["7"]), scheduler="lsf")
    commands.answer("bjobs", '{"RECORDS": [{"JOBID": "7", "STAT": "RUN"}]}')
    plan = cancel.plan(follow(study), {"c"})
    commands.answer("bkill", err="Job <7>: Job has already finished\n", status=255)
    assert cancel.carry_out(plan) == {}
    commands.answer("bkill", err="LSF is down. Please wait ...\n", status=255)
    assert cancel.carry_out(plan) == {"lsf": "LSF is down. Please wait ..."}
    commands.remove("bkill")
    assert "bkill" in cancel.carry_out(plan)["lsf"]


def test_where_the_scheduler_is_silent_no_job_is_taken_to_be_over(study: Path, commands: StandIns) -> None:
    submit(study, (["a"], ["1"]), (["b"], ["2"]))
    commands.answer("squeue", err="slurm_load_jobs error: Unable to contact slurm controller", status=1)
    assert refs(cancel.plan(follow(study), {"a"})) == {"1"}
