"""Following: what files and schedulers say together, with stand-ins for the schedulers' commands."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from sent_runs import LONG_AGO, StandIns, end, live, make_run, queue, submit

from horovod_lb.batch import asking, cancel, follow
from horovod_lb.runs import RunDirectory, State
from horovod_lb.schedulers.types import JobRef, JobState

# What is on the disk (rows) and what the scheduler says of the only job (columns), by hand from the rules:
# exit record before heartbeat before scheduler; the scheduler never makes a success, and its silence nothing.
ANSWERS = ("pending", "running", "timeout", "completed", "forgotten", "silent")
TABLE = """
nothing           queued     running    lost       lost       lost       unknown
alive             queued     running    lost       lost       running    running
alive, here       running    running    running    running    running    running
silent            queued     running    lost       lost       lost       lost
gone              queued     running    lost       lost       lost       lost
stopped           queued     running    stopped    stopped    stopped    stopped
failed            failed     failed     failed     failed     failed     failed
failed before     queued     running    failed     failed     failed     failed
cancelled         cancelled  cancelled  cancelled  cancelled  cancelled  cancelled
marked            cancelled  cancelled  cancelled  cancelled  cancelled  cancelled
marked, alive     cancelled  running    cancelled  cancelled  running    running
completed         completed  completed  completed  completed  completed  completed
completed before  completed  completed  completed  completed  completed  completed
diverged          diverged   diverged   diverged   diverged   diverged   diverged
"""
WORDS = {"pending": "PENDING Resources", "running": "RUNNING None", "timeout": "TIMEOUT TimeLimit"}
WORDS["completed"] = "COMPLETED None"


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIns:
    made = StandIns(tmp_path / "bin")
    monkeypatch.setenv("PATH", made.environment()["PATH"])
    return made


def on_disk(run: RunDirectory, what: str, job: str) -> None:
    """Puts a run into a row of the table, as far as files go."""
    if what == "nothing":
        return
    if what == "marked":
        run.request_stop(cancel=True)
        return
    signs = {"silent": 400.0, "gone": 400.0}
    segment = live(run, job, sign=signs.get(what, 5.0), here=what in ("alive, here", "gone"))
    if what == "gone":
        record = json.loads((segment / "life.json").read_text())
        (segment / "life.json").write_text(json.dumps({**record, "process_start": 1}))
    elif what == "marked, alive":
        run.request_stop(cancel=True)
    elif what.split()[0] in ("stopped", "failed", "cancelled", "completed", "diverged"):
        end(run, what.split()[0], ago=2 * LONG_AGO if "before" in what else 30)


@pytest.mark.parametrize("answer", ANSWERS)
def test_states_follow_from_exit_record_then_heartbeat_then_scheduler(
    tmp_path: Path, commands: StandIns, answer: str
) -> None:
    rows = [line.rsplit(None, len(ANSWERS)) for line in TABLE.strip().splitlines()]
    expected = {row[0].strip(): row[1 + ANSWERS.index(answer)] for row in rows}
    study = tmp_path / "s"
    for number, what in enumerate(expected):
        on_disk(make_run(study, f"r{number}"), what, f"slurm:{100 + number}")
    submit(study, *(([f"r{number}"], [str(100 + number)]) for number in range(len(expected))))
    if answer == "silent":
        commands.answer("squeue", err="slurm_load_jobs error: Unable to contact slurm controller", status=1)
    elif answer != "forgotten":
        commands.answer("squeue", queue(*(f"{100 + n} {WORDS[answer]}" for n in range(len(expected)))))
    found = follow.follow(study)
    assert {what: found.state(f"r{n}").state.value for n, what in enumerate(expected)} == expected
    assert (found.problem is not None) == (answer == "silent")
    assert len(commands.calls("squeue")) == 1
    assert len(commands.calls("sacct")) == (1 if answer == "forgotten" else 0)


@pytest.mark.parametrize(
    ("line", "state", "reason"),
    [
        ("100 TIMEOUT TimeLimit", State.LOST, "timeout"),
        ("100 NODE_FAIL NodeFail", State.LOST, "node failure"),
        ("100 OUT_OF_MEMORY None", State.LOST, "out of memory"),
        ("100 PREEMPTED None", State.LOST, "preempted"),
        ("100 FAILED NonZeroExitCode", State.LOST, "its job failed"),
        ("100 FAILED JobLaunchFailure", State.LOST, "its job failed (JobLaunchFailure)"),
        ("100 COMPLETED None", State.LOST, "its job ended without a record of the run"),
        ("100 PENDING JobHeldUser", State.QUEUED, "held: JobHeldUser"),
        ("100 PENDING Priority", State.QUEUED, "Priority"),
        ("100 RUNNING None", State.RUNNING, "starting"),
    ],
)
def test_the_reason_is_the_schedulers_word(
    tmp_path: Path, commands: StandIns, line: str, state: State, reason: str
) -> None:
    make_run(tmp_path / "s", "r")
    submit(tmp_path / "s", (["r"], ["100"]))
    commands.answer("squeue", queue(line))
    found = follow.follow(tmp_path / "s").state("r")
    assert (found.state, found.reason, found.job) == (state, reason, JobRef("100"))
    if state is State.RUNNING:
        assert (found.seconds_left, found.nodes) == (5400.0, "node[1-2]")


def test_a_job_that_only_the_records_know_is_lost_with_their_word(tmp_path: Path, commands: StandIns) -> None:
    for run in ("a", "b"):
        make_run(tmp_path / "s", run)
    submit(tmp_path / "s", (["a"], ["100"]), (["b"], ["101"]))
    commands.answer("sacct", "100|CANCELLED by 1000|0:0|node1|\n101|COMPLETED|0:0|node1|\n")
    found = follow.follow(tmp_path / "s")
    assert (found.state("a").state, found.state("a").reason) == (State.LOST, "its job was cancelled by 1000")
    assert (found.state("b").state, found.state("b").job_state) == (State.LOST, JobState.ENDED)
    assert found.problem is None


def test_without_records_a_forgotten_job_is_lost_all_the_same(tmp_path: Path, commands: StandIns) -> None:
    make_run(tmp_path / "s", "r")
    submit(tmp_path / "s", (["r"], ["100"]))
    commands.answer("sacct", err="sacct: error: Problem talking to the database", status=1)
    found = follow.follow(tmp_path / "s")
    assert found.state("r").state is State.LOST
    assert "why jobs ended is not known" in (found.problem or "")


def test_one_question_for_all_jobs_that_are_not_settled(tmp_path: Path, commands: StandIns) -> None:
    study = tmp_path / "s"
    for number in range(40):
        run = make_run(study, f"r{number}")
        if number < 10:
            live(run, f"slurm:{100 + number}")
            end(run, "completed")
    submit(study, *(([f"r{n}"], [str(100 + n)]) for n in range(20)))
    submit(study, ([f"r{n}" for n in range(20, 40)], ["500"]), array=(0, 19))
    waiting = [f"{100 + n} PENDING Priority" for n in range(10, 20)]
    elements = [f"500_{n} PENDING JobArrayTaskLimit" for n in range(20)]
    commands.answer("squeue", queue(*waiting, *elements))
    found = follow.follow(study)
    assert all(found.state(f"r{n}").state is State.QUEUED for n in range(10, 40))
    assert found.state("r27").job == JobRef("500", 7)
    (call,) = commands.calls("squeue")
    asked = call.split("--jobs=")[1].split()[0].split(",")
    assert sorted(asked) == sorted([*(str(100 + n) for n in range(10, 20)), "500"])
    assert commands.calls("sacct") == []


def test_nobody_is_asked_when_every_run_has_its_result(tmp_path: Path, commands: StandIns) -> None:
    live(run := make_run(tmp_path / "s", "r"), "slurm:100")
    end(run, "completed")
    submit(tmp_path / "s", (["r"], ["100"]))
    found = follow.follow(tmp_path / "s")
    assert (found.state("r").state, found.state("r").job) == (State.COMPLETED, JobRef("100"))
    assert commands.calls("squeue") == []


def test_of_a_chain_the_first_link_that_runs_or_waits_counts(tmp_path: Path, commands: StandIns) -> None:
    study = tmp_path / "s"
    live(make_run(study, "r"), "slurm:1", sign=900)
    submit(study, (["r"], ["1", "2", "3"]))
    commands.answer("squeue", queue("1 TIMEOUT TimeLimit", "2 PENDING Dependency", "3 PENDING Dependency"))
    assert (follow.follow(study).state("r").state, follow.follow(study).state("r").job) == (
        State.QUEUED,
        JobRef("2"),
    )
    commands.answer("squeue", queue("1 TIMEOUT TimeLimit", "2 RUNNING None", "3 PENDING Dependency"))
    assert (follow.follow(study).state("r").state, follow.follow(study).state("r").job) == (
        State.RUNNING,
        JobRef("2"),
    )
    commands.answer("squeue", queue("1 TIMEOUT TimeLimit", "2 NODE_FAIL x", "3 PENDING Dependency"))
    assert follow.follow(study).state("r").job == JobRef("3")


def test_the_newest_submission_counts_unless_an_older_job_goes_on(tmp_path: Path, commands: StandIns) -> None:
    study = tmp_path / "s"
    make_run(study, "r")
    submit(study, (["r"], ["1"]), age=2 * LONG_AGO)
    submit(study, (["r"], ["2"]))
    commands.answer("squeue", queue("1 NODE_FAIL x", "2 TIMEOUT TimeLimit"))
    assert follow.follow(study).state("r").reason.startswith("timeout")
    commands.answer("squeue", queue("1 RUNNING None", "2 PENDING Priority"))
    assert (follow.follow(study).state("r").state, follow.follow(study).state("r").job) == (
        State.RUNNING,
        JobRef("1"),
    )
    commands.answer("squeue", queue("1 PENDING Priority", "2 TIMEOUT TimeLimit"))
    assert follow.follow(study).state("r").job == JobRef("1")


def test_in_a_packed_job_a_run_whose_turn_has_not_come_waits(tmp_path: Path, commands: StandIns) -> None:
    study = tmp_path / "s"
    runs = [make_run(study, name) for name in ("a", "b", "c", "d")]
    live(runs[0], "slurm:7_1")
    submit(study, (["a", "b", "c", "d"], ["7"]), pack=2, array=(1, 2))
    commands.answer("squeue", queue("7_1 RUNNING None", "7_2 PENDING Resources"))
    found = follow.follow(study)
    assert found.state("a").state is State.RUNNING
    assert (found.state("b").state, found.state("b").reason) == (State.QUEUED, "waits in job 7_1")
    assert (found.state("c").state, found.state("c").reason) == (State.QUEUED, "Resources")


def test_a_job_without_an_id_is_found_by_its_name(tmp_path: Path, commands: StandIns) -> None:
    study = tmp_path / "s"
    for name in ("a", "b"):
        make_run(study, name)
    sent = submit(study, (["a"], ["11", None]), (["b"], [None]))
    first, second = (job.name for job in sent.jobs)
    commands.answer("squeue", queue(f"11 TIMEOUT x@{first}", f"12 PENDING Dependency@{first}"))
    found = follow.follow(study)
    assert (found.state("a").state, found.state("a").job) == (State.QUEUED, JobRef("12"))
    assert (found.state("b").state, found.state("b").job) == (State.LOST, None)
    assert found.state("b").reason == "the scheduler has no job of its name"
    (call,) = commands.calls("squeue")
    assert first in call and second in call


def test_a_job_sent_a_moment_ago_is_submitted_until_it_is_listed(tmp_path: Path, commands: StandIns) -> None:
    study = tmp_path / "s"
    for name in ("a", "b"):
        make_run(study, name)
    submit(study, (["a"], ["11"]), (["b"], [None]), age=2)
    found = follow.follow(study)
    assert [found.state(name).state for name in ("a", "b")] == [State.SUBMITTED] * 2


def test_once_enough_have_failed_the_rest_says_so(tmp_path: Path, commands: StandIns) -> None:
    study = tmp_path / "s"
    for name in ("a", "b", "c"):
        make_run(study, name)
    sent = submit(study, (["a", "b"], ["5"]), (["c"], ["6"]), pack=2, max_failures=1)
    live(RunDirectory(study / "a"), "slurm:5")
    end(RunDirectory(study / "a"), "failed")
    (sent.folder / "failed").mkdir()
    (sent.folder / "failed" / "a").touch()
    commands.answer("squeue", queue("5 FAILED NonZeroExitCode", "6 PENDING Priority"))
    found = follow.follow(study)
    assert found.state("a").state is State.FAILED
    assert (found.state("b").state, found.state("c").state) == (State.LOST, State.QUEUED)
    assert {found.state(name).reason for name in ("b", "c")} == {"not begun: 1 run failed (--max-failures 1)"}


def test_a_scheduler_that_hangs_is_waited_for_no_longer_than_said(
    tmp_path: Path, commands: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "QUERY_SECONDS", 0.5)
    make_run(tmp_path / "s", "r")
    submit(tmp_path / "s", (["r"], ["100"]))
    commands.hang("squeue", 60)
    began = time.monotonic()
    found = follow.follow(tmp_path / "s")
    assert time.monotonic() - began < 5
    assert "squeue" in (found.problem or "") and "what the files say" in (found.problem or "")
    assert (found.state("r").state, found.state("r").job) == (State.UNKNOWN, JobRef("100"))
    assert found.state("r").reason == "the scheduler did not answer"


def test_one_silent_scheduler_does_not_silence_the_other(tmp_path: Path, commands: StandIns) -> None:
    study = tmp_path / "s"
    for name in ("a", "b"):
        make_run(study, name)
    submit(study, (["a"], ["1"]), scheduler="slurm")
    submit(study, (["b"], ["1"]), scheduler="lsf")
    commands.answer("squeue", err="slurm_load_jobs error: Unable to contact slurm controller", status=1)
    record = {"JOBID": "1", "JOBINDEX": "0", "STAT": "PEND", "PEND_REASON": "New job is waiting"}
    commands.answer("bjobs", json.dumps({"COMMAND": "bjobs", "JOBS": 1, "RECORDS": [record]}))
    found = follow.follow(study)
    assert (found.state("a").state, found.state("b").state) == (State.UNKNOWN, State.QUEUED)
    assert found.state("b").reason == "New job is waiting"
    assert len(commands.calls("bjobs")) == 1


@pytest.mark.parametrize("word", ["PENDING", "RUNNING", "COMPLETED"])
def test_an_id_that_is_another_jobs_by_now_says_nothing(
    tmp_path: Path, commands: StandIns, word: str
) -> None:
    """Ids begin again: after 999,999 with LSF, after a reinstallation with Slurm."""
    study = tmp_path / "s"
    make_run(study, "r")
    job = submit(study, (["r"], ["7"])).jobs[0]
    commands.answer("squeue", queue(f"7 {word} x@somebody-elses"))
    following = follow.follow(study)
    assert following.state("r").state is State.LOST
    assert not cancel.plan(following, ["r"]).jobs, "somebody else's job is cancelled"
    commands.answer("squeue", queue(f"7 PENDING x@{job.name}"))
    assert follow.follow(study).state("r").state is State.QUEUED


def test_an_lsf_name_that_is_cut_is_still_known(tmp_path: Path, commands: StandIns) -> None:
    make_run(tmp_path / "s", "r")
    job = submit(tmp_path / "s", (["r"], ["7"]), scheduler="lsf").jobs[0]
    for name, state in ((f"*{job.name[-6:]}", State.QUEUED), ("*thers-1", State.LOST)):
        record = {"JOBID": "7", "STAT": "PEND", "JOB_NAME": name}
        commands.answer("bjobs", json.dumps({"RECORDS": [record]}))
        assert follow.follow(tmp_path / "s").state("r").state is state


def test_an_lsf_job_that_is_forgotten_is_lost(tmp_path: Path, commands: StandIns) -> None:
    make_run(tmp_path / "s", "r")
    submit(tmp_path / "s", (["r"], ["1"]), scheduler="lsf")
    commands.answer("bjobs", err="Job <1> is not found\n", status=255)
    found = follow.follow(tmp_path / "s")
    assert (found.state("r").state, found.problem) == (State.LOST, None)


def test_a_run_that_ends_while_the_scheduler_is_asked_has_its_result(
    tmp_path: Path, commands: StandIns
) -> None:
    """The scheduler says that the job is over; the exit record was written after the first look."""
    run = make_run(tmp_path / "s", "r")
    live(run, "slurm:100")
    submit(tmp_path / "s", (["r"], ["100"]))
    commands.answer("squeue", queue("100 COMPLETED None"))
    record = json.dumps({"state": "completed", "life": 1, "time": time.time()})
    commands.hook("squeue", f"printf '%s' '{record}' > {run.exit_json}")
    assert follow.follow(tmp_path / "s").state("r").state is State.COMPLETED


def test_a_life_that_began_after_the_answer_is_no_orphan(tmp_path: Path, commands: StandIns) -> None:
    study = tmp_path / "s"
    run = make_run(study, "r")
    submit(study, (["r"], ["100"]))
    commands.answer("squeue", queue("100 PENDING Priority"))
    first = follow.follow(study)
    assert first.state("r").state is State.QUEUED
    live(run, "slurm:100", sign=-120)
    assert follow.follow(study, answers=first.answers).state("r").state is State.RUNNING
    assert len(commands.calls("squeue")) == 1


def test_a_run_that_was_never_sent_is_what_its_files_say(tmp_path: Path, commands: StandIns) -> None:
    study = tmp_path / "s"
    make_run(study, "planned")
    live(make_run(study, "local"), None, here=True)
    make_run(study, "sent")
    submit(study, (["sent"], ["100"]))
    found = follow.follow(study, ask=False)
    assert found.state("planned").state is State.PLANNED
    assert found.state("local").state is State.RUNNING
    assert (found.state("sent").state, found.state("sent").reason) == (
        State.UNKNOWN,
        "the scheduler was not asked",
    )
    assert commands.calls("squeue") == []


def test_a_running_run_says_that_it_was_asked_to_stop(tmp_path: Path, commands: StandIns) -> None:
    study = tmp_path / "s"
    live(run := make_run(study, "r"), "slurm:1")
    submit(study, (["r"], ["1"]))
    commands.answer("squeue", queue("1 RUNNING None"))
    run.request_stop()
    assert follow.follow(study).state("r").reason == "asked to stop"
    run.request_stop(cancel=True)
    assert follow.follow(study).state("r").reason == "cancelled, stops at its next chance"


def test_ten_thousand_runs_take_seconds(tmp_path: Path, commands: StandIns) -> None:
    study = tmp_path / "s"
    names = [f"{number:06d}" for number in range(10_000)]
    for name in names:
        (study / name).mkdir(parents=True)
        (study / name / "run.json").write_text("{}")
    submit(study, *((names[n : n + 1000], [str(1 + n)]) for n in range(0, 10_000, 1000)), array=(0, 999))
    jobs = [f"{1 + n}_{index} PENDING Priority" for n in range(0, 10_000, 1000) for index in range(1000)]
    commands.answer("squeue", queue(*jobs))
    began = sum(os.times()[:2])
    found = follow.follow(study)
    states = {found.state(name).state for name in names}
    assert states == {State.QUEUED}
    assert sum(os.times()[:2]) - began < 6
    assert len(commands.calls("squeue")) == 1
