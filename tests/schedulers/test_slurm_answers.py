"""Slurm's answers as seen on a real 22.05, and the mistakes that other tools make with them."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from scripts import machine

from horovod_lb.errors import RequestError, SchedulerError
from horovod_lb.schedulers import scheduler
from horovod_lb.schedulers.slurm import Slurm
from horovod_lb.schedulers.types import JobRef, JobState, JobStatus

SLURM = Slurm()
SCRIPT = """#!/bin/bash
# a comment
#SBATCH --job-name=x
#SBATCH --output="a b/%j.log"

echo one
#SBATCH --nodes=9
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "0.sh"
    path.write_text(SCRIPT)
    return path


def states(lines: str) -> dict[str, JobState]:
    return {str(status.ref): status.state for status in SLURM.parse_query(lines, "")}


def test_the_registry_knows_it() -> None:
    assert isinstance(scheduler("slurm"), Slurm)
    with pytest.raises(RequestError, match="no scheduler 'none', only slurm and lsf"):
        scheduler("none")


def test_directives_are_repeated_where_no_environment_variable_overrides_them(script: Path) -> None:
    command = SLURM.submit(script, machine("slurm-6gpu"))
    assert command.argv == ("sbatch", "--parsable", "--job-name=x", "--output=a b/%j.log", str(script))
    assert command.stdin is None


def test_a_script_on_standard_input(script: Path) -> None:
    command = SLURM.submit(script, machine("slurm-6gpu", submit="stdin"))
    assert command.argv[-1] == "--output=a b/%j.log"
    assert command.stdin == script


def test_a_link_waits_for_the_end_of_the_one_before_however_it_ended(script: Path) -> None:
    assert "--dependency=afterany:12" in SLURM.submit(script, machine("slurm-6gpu"), after="12").argv
    single = machine("slurm-6gpu", dependency="singleton")
    assert "--dependency=singleton" in SLURM.submit(script, single, after="12").argv
    assert "--dependency=singleton" not in SLURM.submit(script, single).argv
    with pytest.raises(RequestError, match="'12;x' is no job's id"):
        SLURM.submit(script, machine("slurm-6gpu"), after="12;x")


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"none\.sh: cannot be read"):
        SLURM.submit(tmp_path / "none.sh", machine("slurm-6gpu"))


@pytest.mark.parametrize(
    ("stdout", "job"),
    [
        ("12\n", "12"),
        ("12;cluster\n", "12"),  # other tools split at a colon
        ("Submitted batch job 11\n", "11"),
        ("Welcome to the site, 3 messages\n4711;emu\n", "4711"),
        ("Submitted batch job 11 on cluster emu\n", "11"),
    ],
)
def test_the_id_of_a_job(stdout: str, job: str) -> None:
    assert SLURM.parse_submit(stdout, "sbatch: warning: something") == job


REFUSALS = [
    "sbatch: error: invalid partition specified: nopart\n"
    "sbatch: error: Batch job submission failed: Invalid partition name specified\n",
    "sbatch: error: Batch job submission failed: Requested node configuration is not available\n",
    "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)\n",
    "sbatch: Job 13 to start at 2026-11-20T23:56:40 using 12 processors on nodes node[1-2]\n",
    "",
]


@pytest.mark.parametrize("stderr", REFUSALS)
def test_a_job_that_was_not_accepted(stderr: str) -> None:
    with pytest.raises(SchedulerError) as caught:
        SLURM.parse_submit("", stderr)
    assert all(line in str(caught.value) for line in stderr.splitlines())


def test_elements_of_an_array_one_by_one() -> None:
    lines = (
        "18_3|PENDING|JobArrayTaskLimit|2:00||arr\n18_2|RUNNING|None|1:58|node1|arr\n"
        "17|RUNNING|None|1-04:58:00|node[1-2]|a|b\n"
    )
    assert SLURM.parse_query(lines, "") == [
        JobStatus(JobRef("18", 3), JobState.PENDING, "JobArrayTaskLimit", name="arr"),
        JobStatus(JobRef("18", 2), JobState.RUNNING, "", 118.0, "node1", name="arr"),
        JobStatus(JobRef("17"), JobState.RUNNING, "", 104280.0, "node[1-2]", name="a|b"),
    ]


def test_what_is_left_of_an_array_in_one_line() -> None:
    found = states("123_[5-7,9%4]|PENDING|Resources|2:00||arr\n")
    assert found == dict.fromkeys(("123_5", "123_6", "123_7", "123_9"), JobState.PENDING)


@pytest.mark.parametrize(
    ("word", "reason", "state"),
    [
        ("PENDING", "Priority", JobState.PENDING),
        ("PENDING", "JobHeldUser", JobState.HELD),
        ("PENDING", "JobHeldAdmin", JobState.HELD),
        ("PENDING", "DependencyNeverSatisfied", JobState.HELD),
        ("PENDING", "launch failed requeued held", JobState.HELD),
        ("PENDING", "BeginTime", JobState.PENDING),
        ("COMPLETING", "None", JobState.RUNNING),
        ("SUSPENDED", "None", JobState.HELD),
        ("COMPLETED", "None", JobState.ENDED),
        ("FAILED", "NonZeroExitCode", JobState.FAILED),
        ("CANCELLED", "None", JobState.CANCELLED),
        ("TIMEOUT", "TimeLimit", JobState.TIMEOUT),
        ("NODE_FAIL", "None", JobState.NODE_FAILURE),
        ("PREEMPTED", "None", JobState.PREEMPTED),
        ("OUT_OF_MEMORY", "OutOfMemory", JobState.OUT_OF_MEMORY),
        ("NEW_STATE_OF_2031", "None", JobState.UNKNOWN),
    ],
)
def test_states(word: str, reason: str, state: JobState) -> None:
    assert states(f"7|{word}|{reason}|1:00|node1|x\n") == {"7": state}


def test_a_never_satisfied_dependency_is_told() -> None:
    (status,) = SLURM.parse_query("25|PENDING|DependencyNeverSatisfied|2:00||dep\n", "")
    assert status.reason == "DependencyNeverSatisfied"
    assert not status.state.over


def test_forgotten_jobs_are_missing_and_no_error() -> None:
    assert SLURM.parse_query("", "slurm_load_jobs error: Invalid job id specified\n") == []
    assert SLURM.parse_query("", "") == []


@pytest.mark.parametrize(
    "stderr",
    [
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n",
        "squeue: error: slurm_receive_msg: Socket timed out on send/recv operation\n",
        "slurm_load_jobs error: Zero Bytes were transmitted or received\n",
    ],
)
def test_a_controller_that_does_not_answer_is_an_error_and_no_empty_queue(stderr: str) -> None:
    for parse in (SLURM.parse_query, SLURM.parse_history, SLURM.parse_load):
        with pytest.raises(SchedulerError, match="gave no answer") as caught:
            parse("", stderr)
        assert stderr.strip() in str(caught.value)


@pytest.mark.parametrize("line", ["what is this", "x|RUNNING|None|1:00|n1|x", "1_[a]|PENDING|None|1:00||x"])
def test_words_that_cannot_be_understood(line: str) -> None:
    with pytest.raises(SchedulerError):
        SLURM.parse_query(f"{line}\n", "")


def test_a_question_asks_for_ended_jobs_and_for_elements() -> None:
    argv = SLURM.query(["1", "2", "1"]).argv
    assert {"--states=all", "--array", "--noheader", "--jobs=1,2"} <= set(argv)
    assert "--name=a,b" in SLURM.query([], ["a", "b"]).argv


def test_ids_and_names_together_are_no_intersection() -> None:
    argv = SLURM.query(["1"], ["a"]).argv
    assert not any(word.startswith(("--jobs", "--name")) for word in argv)


def test_more_ids_than_an_argument_holds() -> None:
    ids = [str(10_000_000 + i) for i in range(20_000)]
    assert max(map(len, SLURM.query(ids).argv)) < 131_072
    history = SLURM.history(ids)
    assert history is not None
    lists = [word.partition("=")[2] for word in history.argv if word.startswith("--jobs=")]
    assert max(map(len, history.argv)) < 131_072
    assert [job for some in lists for job in some.split(",")] == ids


@pytest.mark.parametrize("job", ["0", "-1", "1 2", "", "1;scancel 2", "1_2", "$(x)"])
def test_what_is_no_id_is_never_sent(job: str) -> None:
    for ask in (SLURM.query, SLURM.history):
        with pytest.raises(RequestError, match="no job's id"):
            ask([job])
    with pytest.raises(RequestError, match="no job's id"):
        SLURM.cancel([JobRef(job)])


SACCT = """\
18_1|COMPLETED|0:0|node1|arr
18_3|FAILED|1:0|node2|arr
17|TIMEOUT|0:0|node[1-2]|tl
44|CANCELLED by 0|0:0|None assigned|x
45|FAILED|0:9|node1|x
46|FAILED|9:0|node1|x
34|NODE_FAIL|0:0|node[3-4]|nf
15|PENDING|0:0|None assigned|sig
30_[0-1%2]|PENDING|0:0|None assigned|arr
"""


def test_records_of_ended_jobs() -> None:
    found = {str(status.ref): status for status in SLURM.parse_history(SACCT, "")}
    assert {name: status.state for name, status in found.items()} == {
        "18_1": JobState.ENDED,
        "18_3": JobState.FAILED,
        "17": JobState.TIMEOUT,
        "44": JobState.CANCELLED,
        "45": JobState.FAILED,
        "46": JobState.FAILED,
        "34": JobState.NODE_FAILURE,
        "15": JobState.PENDING,
        "30_0": JobState.PENDING,
        "30_1": JobState.PENDING,
    }
    assert found["18_3"].exit_code == 1
    assert found["45"].exit_code == 137  # 0:9 is a signal, 9:0 is not
    assert found["46"].exit_code == 9
    assert found["15"].exit_code is None
    assert found["44"].reason == "CANCELLED by 0"
    assert found["44"].nodes == ""


def test_a_site_without_accounts_has_no_records() -> None:
    assert SLURM.parse_history("", "Slurm accounting storage is disabled\n") == []
    assert SLURM.parse_history("Slurm accounting storage is disabled\n", "") == []


def test_the_load_counts_elements() -> None:
    assert SLURM.parse_load("18_3\n18_4\n17\n20_[1-4,7%2]\n", "") == 8
    assert SLURM.parse_load("", "") == 0


def test_cancelling_elements_and_jobs() -> None:
    refs = [JobRef("5", 3), JobRef("7"), JobRef("5", 1), JobRef("5", 2), JobRef("5", 9), JobRef("7", 1)]
    assert SLURM.cancel(refs).argv == ("scancel", "5_[1-3,9]", "7")
    with pytest.raises(RequestError, match="no job to cancel"):
        SLURM.cancel([])


def test_cancelling_ten_thousand_elements_fits_a_command_line() -> None:
    every = SLURM.cancel([JobRef("123", i) for i in range(10_000)]).argv
    assert every == ("scancel", "123_[0-9999]")
    second = SLURM.cancel([JobRef("123", i) for i in range(0, 10_000, 2)]).argv
    assert max(map(len, second)) < 2_000
    assert len(shlex.join(second)) < 131_072
    named = [int(i) for word in second[1:] for i in word[len("123_[") : -1].split(",")]
    assert named == list(range(0, 10_000, 2))
