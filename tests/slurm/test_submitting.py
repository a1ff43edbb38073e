"""Sending, sending again, cancelling, and a scheduler that refuses."""

from __future__ import annotations

from alongside import alongside
from slurm_study import Study


@alongside
def test_what_is_waiting_running_or_finished_is_not_sent_again(study: Study) -> None:
    study.write(queue="closed", seconds_a_step=0.2)
    study.submit("--workers", "1")
    (job,) = study.job_ids()
    study.submit()
    assert study.job_ids() == [job]
    assert study.state() == "queued"
    study.on_login("scontrol", "update", f"JobId={job}", "Partition=batch")
    study.wait_for_epochs(1)
    study.submit()
    assert study.job_ids() == [job]
    assert study.state() == "running"
    study.wait_for_end()
    study.submit()
    assert study.job_ids() == [job]
    assert study.state() == "completed"


@alongside
def test_a_running_run_is_cancelled(study: Study) -> None:
    study.write(seconds_a_step=1)
    study.submit("--workers", "1")
    study.wait_for_epochs(1)
    study.hlb("cancel", "study.yaml", "--yes")
    study.wait_for("end of the job", lambda: not study.queued(), 60)
    assert study.job()["JobState"] == "CANCELLED"
    assert study.state() == "cancelled"
    assert len(study.run.read_metrics()) < 12


@alongside
def test_a_waiting_run_is_cancelled(study: Study) -> None:
    study.write(queue="closed")
    study.submit()
    assert study.state() == "queued"
    study.hlb("cancel", "study.yaml", "--yes")
    assert not study.queued()
    assert study.job()["JobState"] == "CANCELLED"
    assert study.state() == "cancelled"
    assert not study.run.life_number()


@alongside
def test_what_slurm_refuses_is_not_recorded_as_sent(study: Study) -> None:
    said = study.submit("--queue", "nowhere", expect=1)
    assert "invalid partition specified: nowhere" in said
    assert not study.job_ids()
    assert study.state() == "planned"
    study.submit("--queue", "closed")
    assert len(study.job_ids()) == 1
    assert study.state() == "queued"
    study.hlb("cancel", "study.yaml", "--yes")
