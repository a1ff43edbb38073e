"""bjobs: which jobs, which fields, and in which shape."""

from __future__ import annotations

import json

import pytest
from stand_ins import LsfCluster, lines

HEADER = ["JOBID", "USER", "STAT", "QUEUE", "FROM_HOST", "EXEC_HOST", "JOB_NAME", "SUBMIT_TIME"]
HEAD = ("#BSUB -P ABC123", "#BSUB -W 1:30", "#BSUB -nnodes 2", "#BSUB -H")


@pytest.fixture
def three(summit: LsfCluster) -> LsfCluster:
    """Job 1, held; job 2, an array of two, held; job 3, cancelled."""
    summit.bsub("-J", "single", summit.script("true", *HEAD))
    summit.bsub("-J", "several[1-2]", "-q", "debug", summit.script("true", *HEAD))
    summit.bsub("-J", "gone", summit.script("true", *HEAD))
    summit.said("bkill", "3")
    return summit


def test_the_table(three: LsfCluster) -> None:
    table = lines(three.said("bjobs"))
    assert table[0].split() == HEADER
    assert [(line.split()[0], line.split()[2], line.split()[3]) for line in table[1:]] == [
        ("1", "PSUSP", "batch"),
        ("2", "PSUSP", "debug"),
        ("2", "PSUSP", "debug"),
    ]
    assert len(lines(three.said("bjobs", "-a", "-noheader"))) == 4
    assert lines(three.said("bjobs", "-A", "2"))[1].split()[:3] == [
        "2",
        "several[1-2]",
        lines(table[1])[0].split()[1],
    ]


def test_which_jobs(three: LsfCluster) -> None:
    def ids(*words: str) -> list[str]:
        done = three.run("bjobs", "-noheader", "-o", "jobid", *words)
        return done.stdout.split()

    assert ids() == ["1", "2", "2"]
    assert ids("-a") == ["1", "2", "2", "3"]
    assert ids("-d") == ["3"]
    assert ids("-s") == ["1", "2", "2"]
    assert ids("-r") == []
    assert ids("-q", "debug") == ["2", "2"]
    assert ids("-J", "single") == ["1"]
    assert ids("-a", "-J", "*") == ["1", "2", "2", "3"]
    assert ids("-P", "ABC123") == ["1", "2", "2"]
    assert ids("-u", "nobody-there") == []
    assert ids("3") == ["3"], "an ended job, by its id"
    assert ids("2[2]") == ["2"]
    assert three.run("bjobs", "2", "-a").stderr == "-a: Illegal job ID.\n", "options come before ids"


def test_nothing_found(three: LsfCluster) -> None:
    missing = three.run("bjobs", "9999")
    assert (missing.returncode, missing.stdout, missing.stderr) == (255, "", "Job <9999> is not found\n")
    assert three.run("bjobs", "-J", "nobody").stderr == "Job <nobody> is not found\n"
    three.said("bkill", "1", "2")
    assert three.run("bjobs").stderr == "No unfinished job found\n"


def test_json_needs_fields(three: LsfCluster) -> None:
    for words in (["-json"], ["-json", "-noheader", "-o", "jobid"], ["-o", "nosuch"], ["-foo"]):
        done = three.run("bjobs", *words)
        assert (done.returncode, done.stdout) == (255, "")
        assert "Usage: bjobs" in done.stderr
    found = json.loads(three.run("bjobs", "-o", "id stat exit_reason", "-json", "3", "77").stdout)
    assert found == {
        "COMMAND": "bjobs",
        "JOBS": 2,
        "RECORDS": [
            {"JOBID": "3", "STAT": "EXIT", "EXIT_REASON": "TERM_OWNER: job killed by owner"},
            {"JOBID": "77", "ERROR": "Job <77> is not found"},
        ],
    }


def test_fields_widths_and_delimiters(three: LsfCluster) -> None:
    assert (
        three.said("bjobs", "-o", "jobid job_name:4 stat:-7", "-noheader", "2[1]")
        == f"{'2':7} *[1]   PSUSP\n"
    )
    text = three.said("bjobs", "-o", "jobid jobindex exit_code runtimelimit delimiter='|'", "2[2]")
    assert text == "JOBID|JOBINDEX|EXIT_CODE|RUNTIMELIMIT\n2|2|-|90.0\n"


def test_times_of_a_running_job_are_the_sites(summit: LsfCluster) -> None:
    """A minute lasts a second here: half an hour of 90 minutes is gone after 30 seconds, not after 1,800."""
    script = summit.script("sleep 60", "#BSUB -P A -W 1:30 -nnodes 2", name="run.sh")
    job = summit.bsub(script)
    record = summit.wait(
        lambda: next(
            (
                one
                for one in summit.jobs(
                    job, fields="stat run_time time_left runtimelimit exec_host nexec_host"
                )
                if one["STAT"] == "RUN" and int(one["RUN_TIME"].split()[0]) >= 60
            ),
            None,
        )
    )
    seconds = int(record["RUN_TIME"].removesuffix(" second(s)"))
    hours, minutes = record["TIME_LEFT"].removesuffix(" L").split(":")
    assert 0 <= 90 - seconds / 60 - (60 * int(hours) + int(minutes)) <= 2
    assert (record["EXEC_HOST"], record["NEXEC_HOST"]) == ("42*node0001:42*node0002", "2")
