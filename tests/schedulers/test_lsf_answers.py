"""LSF's answers as its manual and its users' reports have them, and the mistakes of other tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scripts import machine

from horovod_lb.errors import RequestError, SchedulerError
from horovod_lb.schedulers import scheduler
from horovod_lb.schedulers.lsf import Lsf
from horovod_lb.schedulers.types import JobRef, JobState, JobStatus

LSF = Lsf()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "0.sh"
    path.write_text(
        '#!/bin/bash\n#BSUB -J "x[1-20]%4"\n#BSUB -W 2:00\n#BSUB -alloc_flags "gpumps smt1"\n\nls\n#BSUB -x\n'
    )
    return path


def answer(*records: dict[str, str]) -> str:
    return json.dumps({"COMMAND": "bjobs", "JOBS": len(records), "RECORDS": list(records)}, indent=2)


def record(stat: str, **fields: str) -> dict[str, str]:
    return {"JOBID": "123", "JOBINDEX": "0", "STAT": stat, "EXIT_CODE": "", "EXIT_REASON": "", **fields}


def one(**fields: str) -> JobStatus:
    (status,) = LSF.parse_query(answer(record(**fields)), "")
    return status


def test_both_ways_to_send_a_script_carry_its_directives(script: Path) -> None:
    words = ("bsub", "-J", "x[1-20]%4", "-W", "2:00", "-alloc_flags", "gpumps smt1")
    as_file = LSF.submit(script, machine("summit"))
    assert (as_file.argv, as_file.stdin) == ((*words, str(script)), None)
    as_stdin = LSF.submit(script, machine("generic-lsf"))
    assert (as_stdin.argv, as_stdin.stdin) == (words, script)


def test_a_link_waits_for_the_end_of_the_one_before(script: Path) -> None:
    argv = LSF.submit(script, machine("summit"), after="12").argv
    assert argv[-3:] == ("-w", "ended(12)", str(script))  # no quotes of its own: there is no shell
    with pytest.raises(RequestError):
        LSF.submit(script, machine("summit"), after="0")


@pytest.mark.parametrize(
    "stdout",
    [
        "Job <779469> is submitted to default queue <batch>.\n",
        "Job <779469> is submitted to queue <debug>.\n",
        "*** maintenance on Tuesday ***\nyou have 3 jobs <12>\nJob <779469> is submitted to queue <batch>.\n",
        "Job <779469> is submitted to default queue <batch>.\nJob will be scheduled after Sat Nov 21\n",
    ],
)
def test_the_id_of_a_job(stdout: str) -> None:
    assert LSF.parse_submit(stdout, "") == "779469"


@pytest.mark.parametrize(
    ("stdout", "stderr"),
    [
        ("", "nosuch: No such queue. Job not submitted.\n"),
        ("", "RUNLIMIT: Cannot exceed queue's hard limit(s). Job not submitted.\n"),
        ("", "99999: No matching job found. Job not submitted.\n"),
        ("Request aborted by esub. Job not submitted.\n", "project missing\n"),
        ("Job <5> of yours is over the limit\n", "Job not submitted.\n"),
        ("", "Failed in an LSF library call: LIM is down; try later\n"),
        ("", ""),
    ],
)
def test_a_job_that_was_not_accepted(stdout: str, stderr: str) -> None:
    with pytest.raises(SchedulerError) as caught:
        LSF.parse_submit(stdout, stderr)
    assert stdout.strip() in str(caught.value)
    assert stderr.strip() in str(caught.value)


def test_json_comes_only_with_an_output_format_and_ended_jobs_only_with_a() -> None:
    argv = LSF.query(["1", "2"]).argv
    assert {"-json", "-o", "-a"} <= set(argv)
    assert "-noheader" not in argv
    assert argv[-2:] == ("1", "2")
    fields = argv[argv.index("-o") + 1]
    assert ":" not in fields  # a width would cut values off
    assert {"jobid", "jobindex", "stat", "exit_code", "exit_reason", "job_name"} <= set(fields.split())


def test_names_are_asked_for_by_what_they_have_in_common() -> None:
    argv = LSF.query([], ["demo-3fa9c1-0", "demo-3fa9c1-1"]).argv
    assert argv[argv.index("-J") + 1] == "demo-3fa9c1-*"
    assert LSF.query([], ["demo-3fa9c1-0"]).argv[-1] == "demo-3fa9c1-0*"
    both = LSF.query(["1"], ["a"]).argv
    assert "-J" not in both
    assert "1" not in both


@pytest.mark.parametrize(
    ("stat", "fields", "state"),
    [
        ("PEND", {}, JobState.PENDING),
        ("PROV", {}, JobState.PENDING),
        ("WAIT", {}, JobState.PENDING),
        ("PSUSP", {}, JobState.HELD),
        ("USUSP", {}, JobState.HELD),
        ("SSUSP", {}, JobState.HELD),
        ("RUN", {}, JobState.RUNNING),
        ("DONE", {}, JobState.ENDED),
        ("UNKWN", {}, JobState.UNKNOWN),
        ("ZOMBI", {}, JobState.UNKNOWN),
        ("SOMETHING", {}, JobState.UNKNOWN),
        ("EXIT", {"EXIT_CODE": "1"}, JobState.FAILED),
        ("EXIT", {"EXIT_CODE": "140"}, JobState.TIMEOUT),
        ("EXIT", {"EXIT_CODE": "130"}, JobState.CANCELLED),
        ("EXIT", {"EXIT_CODE": "1",
                  "EXIT_REASON": "TERM_RUNLIMIT: job killed after reaching the run time limit"},
         JobState.TIMEOUT),
        ("EXIT", {"EXIT_CODE": "143", "EXIT_REASON": "TERM_OWNER: job killed by owner"}, JobState.CANCELLED),
        ("EXIT", {"EXIT_REASON": "TERM_ADMIN: job killed by root or LSF administrator"}, JobState.CANCELLED),
        ("EXIT", {"EXIT_REASON": "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit"},
         JobState.OUT_OF_MEMORY),
        ("EXIT", {"EXIT_REASON": "TERM_PREEMPT: job killed after preemption"}, JobState.PREEMPTED),
        ("EXIT", {"EXIT_REASON": "TERM_CSM_ALLOC: killed by LSF because of CSM allocation API error"},
         JobState.NODE_FAILURE),
        ("EXIT", {"EXIT_CODE": "7", "EXIT_REASON": "TERM_NEW_IN_2031: what"}, JobState.FAILED),
        ("PEND", {"PEND_REASON": " Dependency condition invalid or never satisfied: 1 host;"}, JobState.HELD),
    ],
)  # fmt: skip
def test_states(stat: str, fields: dict[str, str], state: JobState) -> None:
    assert one(stat=stat, **fields).state is state


def test_what_a_running_job_tells() -> None:
    status = one(
        stat="RUN",
        JOBINDEX="3",
        RUN_TIME="75 second(s)",
        RUNTIMELIMIT="120.0/summit",
        EXEC_HOST="batch5:42*h36n12:42*h36n13:h36n13",
        JOB_NAME="demo-3fa9c1-0[3]",
        PEND_REASON="-",
    )
    assert status.ref == JobRef("123", 3)
    assert status.seconds_left == 120 * 60 - 75
    assert status.nodes == "batch5,h36n12,h36n13"
    assert status.name == "demo-3fa9c1-0"
    assert status.reason == ""


def test_index_0_is_no_index() -> None:
    assert one(stat="RUN", JOBINDEX="0").ref == JobRef("123", None)


def test_an_index_may_stand_in_the_id() -> None:
    assert one(stat="RUN", JOBID="123[7]", JOBINDEX="").ref == JobRef("123", 7)


def test_why_a_job_waits_or_ended() -> None:
    assert one(stat="PEND", PEND_REASON="New job is waiting for scheduling;").reason.startswith("New job")
    assert one(stat="EXIT", EXIT_REASON="TERM_OWNER: job killed by owner").reason.startswith("TERM_OWNER")
    assert one(stat="ZOMBI").reason == "ZOMBI"
    assert one(stat="DONE").exit_code == 0
    assert one(stat="EXIT", EXIT_CODE="99").exit_code == 99


def test_a_requeued_job_waits() -> None:
    status = one(
        stat="PEND", EXIT_CODE="99", PEND_REASON="Requeued job is waiting for rescheduling;(exit code 99)"
    )
    assert status.state is JobState.PENDING


def test_records_that_hold_an_error_only_are_forgotten_jobs() -> None:
    text = answer(
        {"JOBID": "9", "ERROR": "Job <9> is not found"}, record("RUN"), {"ERROR": "Job <8> is not found"}
    )
    found = {status.ref.job_id: status.state for status in LSF.parse_query(text, "")}
    assert found == {"123": JobState.RUNNING}


@pytest.mark.parametrize(
    ("stdout", "stderr"),
    [
        ("", "Job <123> is not found\n"),
        ("", "Job <123> is not found\nJob <124> is not found\n"),
        ("", "No unfinished job found\n"),
        ("No job found\n", ""),
        (answer({"ERROR": "Job <123> is not found"}), ""),
        (answer(), ""),
    ],
)
def test_forgotten_jobs_are_missing_and_no_success(stdout: str, stderr: str) -> None:
    assert LSF.parse_query(stdout, stderr) == []
    assert LSF.parse_load(stdout, stderr) == 0


@pytest.mark.parametrize(
    ("stdout", "stderr"),
    [
        ("", "LSF is down. Please wait ...\n"),
        ("", "Failed in an LSF library call: LIM is down; try later\n"),
        ("", "batch system daemon not responding ... still trying\n"),
        ("", "bjobs: invalid option -- 'j'\nUsage: bjobs ...\n"),
        ("", ""),
        ('{"COMMAND":"bjobs","JOBS":1,', ""),
        ('{"COMMAND":"bjobs"}', ""),
        (answer({"ERROR": "Failed in an LSF library call"}), ""),
        ("", "Job <123> is not found\nLSF is down. Please wait ...\n"),
    ],
)
def test_no_answer_is_an_error_in_its_words(stdout: str, stderr: str) -> None:
    with pytest.raises(SchedulerError, match="bjobs gave no answer") as caught:
        LSF.parse_query(stdout, stderr)
    assert all(line.strip() in str(caught.value) for line in stderr.splitlines())


def test_words_of_the_site_before_the_answer() -> None:
    (status,) = LSF.parse_query(f"Your quota is nearly used up\n{answer(record('RUN'))}", "")
    assert status.state is JobState.RUNNING


def test_the_load_counts_elements_that_have_not_ended() -> None:
    some = [
        record("RUN", JOBINDEX="1"),
        record("PEND", JOBINDEX="2"),
        record("PSUSP"),
        record("EXIT"),
        record("DONE"),
    ]
    assert LSF.parse_load(answer(*some), "") == 3


def test_cancelling_elements_and_jobs() -> None:
    refs = [JobRef("5", 3), JobRef("7"), JobRef("5", 1), JobRef("5", 2), JobRef("5", 9)]
    assert LSF.cancel(refs).argv == ("bkill", "5[1-3,9]", "7")
    with pytest.raises(RequestError):
        LSF.cancel([])


def test_0_means_all_jobs_to_bkill_and_is_never_sent() -> None:
    for refs in ([JobRef("0")], [JobRef("5"), JobRef("0", 1)], [JobRef("00")], [JobRef("")]):
        with pytest.raises(RequestError, match="no job's id"):
            LSF.cancel(refs)


def test_the_registry_knows_it_and_history_is_not_asked() -> None:
    assert isinstance(scheduler("lsf"), Lsf)
    assert LSF.first_index == 1
    assert LSF.history(["1"]) is None
    assert LSF.parse_history("", "") == []
