"""slurmctld does not answer: what the files say is shown, and nothing is sent. On a cluster of its own."""

from __future__ import annotations

import slurm_cluster
from alongside import alongside
from slurm_study import Study, assert_same_result


@alongside
def test_without_a_controller_the_files_speak_and_nothing_is_sent(study: Study) -> None:
    with slurm_cluster.cluster({"batch": ("m1", "m2")}, message_seconds=4) as own:
        study.cluster = own
        study.write(seconds_a_step=1)
        study.submit("--workers", "1")
        study.wait_for_epochs(2)
        own.stop_controller()

        said = study.hlb("status", "study.yaml")
        assert "Unable to contact slurm controller" in said
        assert "running" in said
        (run,) = study.status()["runs"]
        assert run["state"] == "running"
        assert run["epoch"] >= 2

        said = study.submit(where="seed >= 0", expect=1)
        assert "nothing was sent" in said
        assert len(study.runs()) == 1, "a run that was never sent has got a folder"

        said = study.hlb("cancel", "study.yaml", "--yes", "--where", "seed == 1", expect=0)
        assert "nothing to cancel" in said

        own.start_controller()
        own.wait_for_nodes()
        assert study.state() == "running"
        assert len(study.job_ids()) == 1
        study.wait_for_end()
        assert_same_result(study.run, study.reference, tolerance=1e-5)


@alongside
def test_a_cancellation_that_did_not_reach_slurm_is_said_and_made_up_for(study: Study) -> None:
    with slurm_cluster.cluster({"batch": ("m1", "m2")}, message_seconds=4) as own:
        study.cluster = own
        study.write(queue="batch")
        # No node for it: it waits.
        own.run("scontrol", "update", "PartitionName=batch", "State=DOWN")
        study.submit()
        own.stop_controller()
        said = study.hlb("cancel", "study.yaml", "--yes", expect=1)
        assert "Unable to contact slurm controller" in said
        own.start_controller()
        own.run("scontrol", "update", "PartitionName=batch", "State=UP")
        # Whoever does not repeat `hlb cancel` gets a job that finds nothing to do.
        study.wait_for("end of the job", lambda: not study.queued(), 120)
        assert study.state() == "cancelled"
        assert not study.run.read_metrics()
