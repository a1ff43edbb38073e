"""LSF: bsub, bjobs and bkill as commands and their answers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from horovod_lb.schedulers.types import Command, JobRef, JobState, JobStatus
from horovod_lb.schedulers.words import check_id, check_ids, directives, elements, refused, silent

if TYPE_CHECKING:
    from horovod_lb.machines import Machine

# bjobs(1), STAT. Suspended is held, not dead: on some systems it also means that the job waits for another.
STATES = {
    "PEND": JobState.PENDING,
    "WAIT": JobState.PENDING,
    "PROV": JobState.PENDING,
    "PSUSP": JobState.HELD,
    "USUSP": JobState.HELD,
    "SSUSP": JobState.HELD,
    "RUN": JobState.RUNNING,
    "DONE": JobState.ENDED,
    "EXIT": JobState.FAILED,
    # The host is out of reach: the job may run, and may be killed.
    "UNKWN": JobState.UNKNOWN,
    "ZOMBI": JobState.UNKNOWN,
}

# Why LSF ended a job ("job termination reasons" of LSF's manual).
TERMINATIONS = {
    "TERM_RUNLIMIT": JobState.TIMEOUT,
    "TERM_CPULIMIT": JobState.TIMEOUT,
    "TERM_DEADLINE": JobState.TIMEOUT,
    "TERM_WINDOW": JobState.TIMEOUT,
    "TERM_OWNER": JobState.CANCELLED,
    "TERM_FORCE_OWNER": JobState.CANCELLED,
    "TERM_ADMIN": JobState.CANCELLED,
    "TERM_FORCE_ADMIN": JobState.CANCELLED,
    "TERM_REMOVE_HUNG_JOB": JobState.CANCELLED,
    "TERM_MEMLIMIT": JobState.OUT_OF_MEMORY,
    "TERM_SWAP": JobState.OUT_OF_MEMORY,
    "TERM_PREEMPT": JobState.PREEMPTED,
    "TERM_RC_RECLAIM": JobState.PREEMPTED,
    "TERM_CSM_ALLOC": JobState.NODE_FAILURE,
    "TERM_CWD_NOTEXIST": JobState.FAILED,
}
# 128 + SIGUSR2, which LSF sends at the run limit, and 128 + SIGINT, with which bkill begins.
_STATUSES = {140: JobState.TIMEOUT, 130: JobState.CANCELLED}

_FIELDS = (
    "jobid jobindex stat exit_code exit_reason kill_reason pend_reason suspend_reason run_time runtimelimit "
    "exec_host job_name"
)
_NOTHING = re.compile(r"is not found|No unfinished job found|No job found|No matching job found", re.I)


class Lsf:
    """See `types.Scheduler`. Its commands' exit statuses depend on a site's settings and are not read."""

    name = "lsf"
    first_index = 1  # 0 is no index: $LSB_JOBINDEX of a job that is no array

    def submit(self, script: Path, machine: Machine, *, after: str | None = None) -> Command:
        """`bsub FILE` or `bsub < FILE`, as the site wants it, with the script's own directives repeated.

        A site that does not read the directives of `bsub FILE` gets them all the same.
        """
        argv = ["bsub", *directives(script, "#BSUB")]
        if after is not None:
            argv += ["-w", f"ended({check_id(after)})"]
        if machine.submit == "stdin":
            return Command(tuple(argv), stdin=script)
        return Command((*argv, str(script)))

    def parse_submit(self, stdout: str, stderr: str) -> str:
        """`Job <123> is submitted to default queue <batch>.`, after any words of the site's own."""
        match = re.search(r"Job <(\d+)> is submitted", stdout) or re.search(r"Job <(\d+)>", stdout)
        if match is None or "Job not submitted" in stdout + stderr:
            raise refused("bsub", stdout, stderr)
        return match[1]

    def query(self, jobs: Sequence[str], names: Sequence[str] = ()) -> Command:
        """`bjobs`, a record an element; jobs that ended some time ago (CLEAN_PERIOD) are forgotten."""
        argv = ["bjobs", "-a", "-u", "all", "-o", _FIELDS, "-json"]
        ids = check_ids(jobs)
        if names and not ids:
            # It takes one pattern; elements of arrays have their index behind the name.
            argv += ["-J", f"{os.path.commonprefix(list(names))}*"]  # noqa: RUF071 - of names, not of paths
        elif not names:
            argv += ids
        return Command(tuple(argv))

    def parse_query(self, stdout: str, stderr: str) -> list[JobStatus]:
        """Records that hold an error only, as of a job that was not found, are passed over."""
        return [_status(record) for record in _records(stdout, stderr)]

    def history(self, jobs: Sequence[str]) -> Command | None:
        """None: `bhist` is for people to read."""
        return None

    def parse_history(self, stdout: str, stderr: str) -> list[JobStatus]:
        """Nothing was asked."""
        return []

    def load(self) -> Command:
        """A record a job or element that has not ended."""
        return Command(("bjobs", "-o", "jobid jobindex stat", "-json"))

    def parse_load(self, stdout: str, stderr: str) -> int:
        """The number of these records."""
        return sum(not _status(record).state.over for record in _records(stdout, stderr))

    def cancel(self, refs: Sequence[JobRef]) -> Command:
        """`bkill 12 "34[1-3,7]"`."""
        words = []
        for job, lists in elements(refs).items():
            words += [f"{job}[{some}]" for some in lists] or [job]
        return Command(("bkill", *words))


def _records(stdout: str, stderr: str) -> list[Mapping[str, Any]]:
    """The records of `bjobs -json`; empty where it says that there is no such job."""
    start = stdout.find("{")
    if start < 0:
        lines = [line for line in (stdout + "\n" + stderr).splitlines() if line.strip()]
        if lines and all(_NOTHING.search(line) for line in lines):
            return []
        raise silent("bjobs", stdout, stderr)
    try:
        records = json.JSONDecoder().raw_decode(stdout[start:])[0]["RECORDS"]
    except (ValueError, KeyError, TypeError):
        raise silent("bjobs", stdout, stderr) from None
    found = [record for record in records if record.get("STAT")]
    if any(not _NOTHING.search(str(record.get("ERROR"))) for record in records if not record.get("STAT")):
        raise silent("bjobs", stdout, stderr)
    return found


def _status(record: Mapping[str, Any]) -> JobStatus:
    def text(key: str) -> str:
        value = str(record.get(key) or "").strip()
        return "" if value == "-" else value

    job, _, bracket = text("JOBID").partition("[")
    index = text("JOBINDEX") or bracket.rstrip("]")
    ref = JobRef(job, int(index) if index.isdecimal() and int(index) else None)
    code = int(text("EXIT_CODE")) if text("EXIT_CODE").isdecimal() else None
    word = text("STAT")
    ended = text("EXIT_REASON") or text("KILL_REASON")
    state = STATES.get(word, JobState.UNKNOWN)
    if state is JobState.FAILED:
        state = _ending(ended, code)
    if state is JobState.PENDING and "never satisfied" in text("PEND_REASON"):
        state = JobState.HELD
    waits = text("SUSPEND_REASON") if word in ("USUSP", "SSUSP") else text("PEND_REASON")
    plain = word in ("PEND", "WAIT", "RUN", "DONE")
    return JobStatus(
        ref,
        state,
        reason=(waits if state.waiting else ended) or ("" if plain else word),
        seconds_left=_left(text("RUN_TIME"), text("RUNTIMELIMIT")) if state is JobState.RUNNING else None,
        nodes=_hosts(text("EXEC_HOST")),
        exit_code=0 if word == "DONE" else code,
        name=text("JOB_NAME").partition("[")[0],
    )


def _ending(reason: str, code: int | None) -> JobState:
    """How a job of the state EXIT ended."""
    for word in re.findall(r"TERM_[A-Z_]+", reason):
        if word in TERMINATIONS:
            return TERMINATIONS[word]
    return _STATUSES.get(code or 0, JobState.FAILED) if not reason else JobState.FAILED


def _left(run_time: str, limit: str) -> float | None:
    """Seconds from `75 second(s)` and a limit in minutes, `120.0` or `120.0/host`; None: not told."""
    run = re.match(r"(\d+)", run_time)
    minutes = re.match(r"(\d+(?:\.\d+)?)", limit)
    return max(0.0, 60 * float(minutes[1]) - float(run[1])) if run and minutes else None


def _hosts(text: str) -> str:
    """`6*n1:6*n2` without its slots: `n1,n2`."""
    names = [re.sub(r"^\d+\*", "", name) for name in text.split(":") if name]
    return ",".join(dict.fromkeys(names))
