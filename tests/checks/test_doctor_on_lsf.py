"""LSF's answers: the texts of its commands, and what follows."""

from __future__ import annotations

import pytest

from horovod_lb.checks import lsf
from horovod_lb.checks.finding import State
from horovod_lb.machines import load_machine

BQUEUES = """QUEUE_NAME      PRIO STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN  SUSP
batch            50  Open:Active       -    -    -    -     0     0     0     0
debug            60  Closed:Active     -    -    -    -     0     0     0     0
"""


@pytest.fixture
def site(only_programs):
    for name in (*lsf.COMMANDS, "jsrun"):
        only_programs(name, "exit 0")
    # Its exit status has no firm meaning: 255 came with this text.
    only_programs("bjobs", "echo 'No unfinished job found' >&2; exit 255")
    only_programs("bqueues", f"echo '{BQUEUES.strip()}'")
    return only_programs


def found(**changes):
    machine = load_machine("summit", overrides={"account": "ABC123", **changes})
    return {finding.check: finding for finding in lsf.lsf_findings(machine)}


def test_all_is_well(site):
    assert {finding.state for finding in found().values()} == {State.OK}


@pytest.mark.parametrize(
    ("changes", "check", "words"),
    [
        ({"queue": "batch-hm"}, "queue", "set queue to one of batch, debug"),
        ({"queue": "debug"}, "queue", "wait, or choose another"),
        ({"account": ""}, "account", "--account"),
    ],
)
def test_problems(site, changes, check, words):
    finding = found(**changes)[check]
    assert finding.state == State.PROBLEM
    assert words in finding.remedy


def test_lsf_is_down(site):
    site("bjobs", "echo 'LSF is down. Please wait ...' >&2; exit 255")
    findings = found()
    assert findings["LSF answers"].state == State.PROBLEM
    assert "queue" not in findings


def test_jsrun_may_be_missing_on_a_login_node(site, tmp_path):
    (tmp_path / "site-bin" / "jsrun").unlink()
    assert found()["LSF commands"].state == State.WARNING
    (tmp_path / "site-bin" / "bkill").unlink()
    assert found()["LSF commands"].state == State.PROBLEM
    assert "bkill" in found()["LSF commands"].seen


def test_queues_that_do_not_tell(site):
    site("bqueues", "exit 1")
    assert found()["queue"].state == State.WARNING
