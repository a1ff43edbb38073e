"""Studies through `hlb submit`, `status` and `cancel` on the played Summit; their jobs need no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from stand_ins import LsfCluster, own_processes
from summit_study import QUICK, QUICK_STUDY, ROOT, Login

from horovod_lb.rehearsal import faults
from horovod_lb.rehearsal.install import SUMMIT
from horovod_lb.rehearsal.site import read_site


@pytest.fixture
def login(make: Callable[..., LsfCluster]) -> Login:
    """A quick study on Summit; minutes are minutes."""
    return Login(make(minute=60.0, ranks=1, slots=4), QUICK, QUICK_STUDY)


def test_sent_once_trained_and_never_again(login: Login) -> None:
    (login.cluster.work / "slow").touch()
    sent = login.submit()
    assert sent.returncode == 0, sent.stderr
    again = login.submit()
    assert again.returncode == 0
    jobs = login.cluster.jobs(fields="jobid jobindex")
    assert [(one["JOBID"], one["JOBINDEX"]) for one in jobs] == [("1", "1"), ("1", "2"), ("1", "3")]
    login.until_under_way(3)
    (login.cluster.work / "slow").unlink()
    # What hangs in its first life goes on after a requeue, under the same id.
    for index in (1, 2, 3):
        faults.hurry(login.cluster.folder, 1, index)
    assert login.until("completed") == ["completed"] * 3
    login.cluster.wait(lambda: login.cluster.states(1) == ["DONE"] * 3)
    assert {path.read_text() for path in login.runs.glob("*/done")} == {"20"}
    assert all(len(list((run / "segments").iterdir())) == 2 for run in login.runs.glob("????????????"))
    last = login.submit()
    assert "3 runs have their results." in last.stdout
    assert len(login.cluster.jobs()) == 3


def test_node_failure_ends_in_a_completed_run(login: Login) -> None:
    (login.cluster.work / "slow").touch()
    assert login.submit("--where", "seed == 0").returncode == 0
    login.until_under_way(1)
    faults.fail_node(login.cluster.folder, 1)
    assert login.until("completed") == ["completed"]


def test_cancel(login: Login) -> None:
    (login.cluster.work / "slow").touch()
    assert login.submit("--throttle", "1").returncode == 0
    login.until_under_way(1)
    assert sorted(login.states()) == ["queued", "queued", "running"]
    done = login.hlb("cancel", "quick", "--yes")
    assert done.returncode == 0, done.stderr
    assert login.until("cancelled") == ["cancelled"] * 3
    # The one that ran may have ended by itself, being told to, before the scheduler came to end it.
    login.cluster.wait(lambda: login.cluster.states(1)[1:] == ["EXIT", "EXIT"])
    login.cluster.wait(lambda: login.cluster.states(1)[0] in ("EXIT", "DONE"))
    login.cluster.wait(lambda: own_processes(login.cluster.folder) == [])
    assert login.submit().returncode == 0
    assert len(login.cluster.jobs()) == 3, "cancelled runs are not sent again"


def test_rejected_submission(login: Login) -> None:
    """The queue has less room than the profile says: the refusal is told, and nothing counts as sent."""
    site = read_site(login.cluster.folder)
    replace(site, queued=2).write(login.cluster.folder)
    refused = login.submit()
    assert refused.returncode == 1
    assert "Job not submitted." in refused.stderr
    assert "More than 2 jobs in the queue." in refused.stderr
    assert set(login.states()) <= {"planned", "submitted"}
    assert login.cluster.run("bjobs", "-a").stderr == "No job found\n"
    replace(site, queued=100).write(login.cluster.folder)
    assert login.submit().returncode == 0
    assert login.until("completed") == ["completed"] * 3


def test_account_is_needed(login: Login) -> None:
    done = login.hlb("submit", "study.yaml", "--machine", "summit")
    assert done.returncode == 2
    assert "account" in done.stderr
    assert login.cluster.run("bjobs", "-a").stderr == "No job found\n"


def test_a_scheduler_that_does_not_answer(login: Login) -> None:
    (login.cluster.work / "slow").touch()
    assert login.submit().returncode == 0
    login.until_under_way(3)
    faults.break_down(login.cluster.folder)
    status = login.hlb("status", "quick")
    assert "LSF is down" in status.stdout + status.stderr
    assert login.states() == ["running"] * 3, "as their files say"
    refused = login.submit()
    assert refused.returncode == 1
    assert "LSF is down" in refused.stderr
    faults.repair(login.cluster.folder)
    assert login.submit().returncode == 0
    assert len(login.cluster.jobs()) == 3


def test_a_chain_goes_on_after_its_first_link(make: Callable[..., LsfCluster]) -> None:
    """Four hours on nodes that lend two at a time: the second job waits until the first has ended."""
    study = QUICK_STUDY.replace("workers: 12", 'workers: 12, walltime: "3:00"').replace("[0, 1, 2]", "[0]")
    login = Login(make(minute=60.0, ranks=1, slots=4), QUICK, study, profile='resume = "chain"')
    (login.cluster.work / "slow").touch()
    sent = login.submit()
    assert sent.returncode == 0, sent.stderr
    links = login.cluster.jobs(fields="jobid stat dependency")
    assert [one["DEPENDENCY"] for one in links][:2] == ["", "ended(1)"]
    login.until_under_way(1)
    assert login.cluster.states(2) == ["PEND"]
    faults.hurry(login.cluster.folder, 1)
    assert login.until("completed") == ["completed"]
    states = [login.cluster.over(int(one["JOBID"])) for one in links]
    assert states[1] == ["DONE"]
    assert {path.read_text() for path in login.runs.glob("*/done")} == {"20"}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "lsf" / "examples").glob("*.lsf")), ids=lambda path: path.name
)
def test_examples_are_accepted(summit: LsfCluster, path: Path) -> None:
    done = summit.run("bsub", "-H", path)
    assert (done.returncode, done.stderr) == (0, "")


GOLDEN = sorted((ROOT / "tests" / "schedulers" / "golden").glob("summit*.lsf"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_rendered_scripts_are_accepted(summit: LsfCluster, path: Path) -> None:
    done = summit.run("bsub", "-H", path)
    assert (done.returncode, done.stderr) == (0, "")


def test_summit_is_what_the_profile_says() -> None:
    """The profile and the stand-ins were written from the same guide by different hands."""
    from horovod_lb.machines import load_machine

    machine = load_machine("summit")
    bins = tuple((bin.nodes[0], bin.nodes[1], bin.minutes) for bin in machine.walltimes)
    assert bins == SUMMIT.queues["batch"].walltimes
    assert (machine.nodes, machine.gpus_per_node, machine.cores_per_node) == (4608, 6, 42)
    assert (machine.submit, machine.limits.array_size, machine.limits.queued) == ("file", 1000, 100)
