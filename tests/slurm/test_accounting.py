"""A cluster with accounting: records tell of jobs that squeue has forgotten, and accounts are checked."""

from __future__ import annotations

import pytest
import slurm_cluster
from alongside import alongside
from slurm_study import Study


@alongside
def test_records_say_how_a_forgotten_job_ended(study: Study) -> None:
    if reason := slurm_cluster.why_no_accounting():
        pytest.skip(f"no accounting: {reason}")
    with slurm_cluster.cluster({"batch": ("m1", "m2")}, accounting=True, remembered_seconds=2) as own:
        study.cluster = own
        study.write(setup=["exit 7"])

        said = study.submit("--account", "nobody", expect=1)
        assert "Invalid account" in said
        assert study.state() == "planned"

        study.submit("--account", "known")
        (job,) = study.job_ids()
        study.wait_for("a forgetful squeue", lambda: not study.job_ids(), 120)
        assert "|FAILED|7:0" in own.run("sacct", "-X", "-P", "-n", "-o", "JobID,State,ExitCode", "-j", job)
        (run,) = study.status()["runs"]
        assert run["state"] == "lost"
        assert "its job failed with status 7" in run["reason"]
