"""Runs that are cut off: by the time limit, a node that crashes, a slurmd that dies alone, a kill."""

from __future__ import annotations

import time

from alongside import waiting
from slurm_study import STEPS, Study, assert_same_result, provenance


def shorten(study: Study) -> None:
    """An operator cuts the job's time, so that Slurm's next look at it (each 30 s) finds the warning due."""
    began = time.strptime(study.job()["StartTime"], "%Y-%m-%dT%H:%M:%S")
    elapsed = (time.time() - time.mktime(began)) / 60
    study.on_login("scontrol", "update", f"JobId={study.job()['JobId']}", f"TimeLimit={int(elapsed) + 2}")


def begins(study: Study) -> list[dict[str, object]]:
    return [event for event in study.run.read_events() if event["kind"] == "begin"]


@waiting
def test_the_time_limit_is_hit_and_the_next_life_goes_on(study: Study) -> None:
    study.write(seconds_a_step=2)
    study.submit()
    study.wait_for_epochs(1)
    shorten(study)
    study.wait_for_end()
    assert study.job()["Restarts"] == "1"
    assert [event["state"] for event in study.run.read_events() if event["kind"] == "end"] == [
        "stopped",
        "completed",
    ]
    (script,) = study.folder.glob("runs/digits/submissions/*/1.sh")
    for life in (1, 2):
        segment = study.run.segments / str(life)
        assert provenance(study.run, life)["batch"]["restarts"] == life - 1
        assert len(provenance(study.run, life)["hosts"]) == 2
        assert (segment / "job.sh").read_text() == script.read_text()
        assert "epoch" in (segment / "log").read_text()
    log = (script.parent / f"{study.job()['JobId']}.log").read_text()
    assert log.index("life 1 begins") < log.index("back into the queue") < log.index("life 2 begins")
    assert_same_result(study.run, study.reference)


@waiting
def test_a_chain_goes_on_in_its_next_job(study: Study) -> None:
    """Six minutes a job, of which four are for the start and the end: ten minutes of work take five jobs."""
    study.write(seconds_a_step=2, resume="chain", walltimes=[{"nodes": [1, 4], "limit": "0:06"}])
    study.submit()
    assert len(study.job_ids()) == 5
    study.wait_for_epochs(1)
    assert study.queued().count("PENDING") == 4
    shorten(study)
    study.wait_for_end()
    first, second = begins(study)
    assert [first["owner"], second["owner"]] == [f"job {job_id}" for job_id in study.job_ids()[:2]]
    assert study.job(0)["Restarts"] == "0"
    assert [study.job(number)["JobState"] for number in range(1, 5)] == ["COMPLETED"] * 4
    assert_same_result(study.run, study.reference)


@waiting
def test_a_crashed_node_ends_in_a_resumed_run(study: Study) -> None:
    study.write(seconds_a_step=1, queue="frail")
    study.submit()
    study.wait_for_epochs(2)
    nodes = study.on_login("scontrol", "show", "hostnames", study.job()["NodeList"]).split()
    study.cluster.crash(nodes[-1])
    try:
        study.wait_for_end()
    finally:
        study.cluster.heal(nodes[-1])
    assert study.job()["Restarts"] == "1"
    assert len(begins(study)) == 2
    assert_same_result(study.run, study.reference)


@waiting
def test_an_orphan_of_a_dead_slurmd_is_fenced_off(study: Study) -> None:
    study.write(
        seconds_a_step=1.5,
        slow_lives=2,
        queue="orphan",
        launcher="mpirun",
        ranks_per_node=2,
        gpus_per_node=2,
        cores_per_node=2,
    )
    study.submit()
    study.wait_for_epochs(1)
    node = study.job()["BatchHost"]
    study.cluster.stop_slurmd(node)
    try:
        study.wait_for("second life", lambda: len(begins(study)) == 2)
        assert study.processes_on(node), "the orphan is gone before the second life began: nothing is tested"
        study.wait_for_end()
        study.wait_for("end of the orphan", lambda: not study.processes_on(node), 60)
    finally:
        study.cluster.heal(node)
    # An orphan that ends must not requeue the job that goes on elsewhere.
    assert study.job()["Restarts"] == "1"
    assert study.job()["JobState"] == "COMPLETED"
    assert len(begins(study)) == 2
    assert_same_result(study.run, study.reference)


@waiting
def test_a_killed_job_is_lost_until_it_is_sent_again(study: Study) -> None:
    study.write(seconds_a_step=1)
    study.submit()
    study.wait_for_epochs(2)
    study.kill_all_on(study.job()["BatchHost"])
    study.wait_for("end of the job", lambda: not study.queued(), 60)
    assert study.job()["JobState"] == "FAILED"
    study.wait_for("lost run", lambda: study.state() == "lost", 60)
    assert study.run.read_exit() is None
    reason = study.status()["runs"][0]["reason"]
    assert "its job failed" in reason, reason
    study.submit()
    study.wait_for_end()
    assert len(study.job_ids()) == 2
    assert len(begins(study)) == 2
    assert_same_result(study.run, study.reference)


@waiting
def test_ranks_that_do_not_stop_are_timed_out(study: Study) -> None:
    """A step longer than all the grace there is: the limit kills the job, and what was saved goes on."""
    study.write(stuck_at=STEPS // 2)
    study.submit()
    study.wait_for_epochs(6)
    shorten(study)
    study.wait_for("end of the job", lambda: not study.queued(), 300)
    assert study.job()["JobState"] == "TIMEOUT"
    assert study.state() == "lost"
    study.submit()
    study.wait_for_end()
    assert_same_result(study.run, study.reference)
