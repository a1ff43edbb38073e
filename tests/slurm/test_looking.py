"""`hlb doctor` and `hlb preflight` on a real Slurm: what it answers, and ranks on nodes of their own."""

from __future__ import annotations

import json
from typing import Any

from alongside import alongside
from slurm_study import HLB, Study

SALLOC = ("salloc", "--quiet", "--nodes=2", "--ntasks-per-node=1", "--time=5")
MACHINE = ("--machine", "emulated", "--study", "study.yaml", "--json")


def answer(said: str) -> dict[str, Any]:
    return dict(json.loads(said[said.index("{") :]))


def checks(said: str) -> dict[str, dict[str, str]]:
    return {check["check"]: check for check in answer(said)["checks"]}


@alongside
def test_ranks_on_two_nodes_look_around(study: Study) -> None:
    study.write(gpus_per_node=0)  # the GPUs of the cluster are no more than names
    found = answer(study.on_login(*SALLOC, *HLB, "preflight", *MACHINE))
    assert [(rank["rank"], rank["host"]) for rank in found["ranks"]] == [(0, "m1"), (1, "m2")]
    for rank in found["ranks"]:
        assert (rank["size"], rank["local_size"], rank["wrong"]) == (2, 1, None)
        assert rank["folders"]["runs"]["error"] is None
    said = {check["check"]: check for check in found["checks"]}
    assert {check["state"] for check in said.values()} <= {"ok", "warning"}, said
    assert said["clocks"]["state"] == said["all-reduce"]["state"] == "ok"


@alongside
def test_ranks_that_srun_does_not_join(study: Study) -> None:
    """Without PMIx each rank of Open MPI is a world of its own, and nothing says so."""
    study.write(gpus_per_node=0, mpi="none")
    found = answer(study.on_login(*SALLOC, *HLB, "preflight", *MACHINE, expect=1))
    [check] = [check for check in found["checks"] if check["state"] == "problem"]
    assert check["seen"] == "2 ranks believe to be 1"
    assert "srun --mpi=list" in check["remedy"]


@alongside
def test_gpus_that_tensorflow_does_not_see(study: Study) -> None:
    said = study.on_login(*SALLOC, "--gpus-per-node=1", *HLB, "preflight", *MACHINE, expect=1)
    [check] = [check for check in answer(said)["checks"] if check["state"] == "problem"]
    assert check["seen"] == "TensorFlow sees none on ranks 0-1 (m1, m2); the profile says 1 a node"


@alongside
def test_a_step_that_slurm_refuses(study: Study) -> None:
    study.write(gpus_per_node=0, cores_per_rank=64, cores_per_node=64)
    said = study.on_login(*SALLOC, *HLB, "preflight", *MACHINE, expect=1, timeout=60)
    [check] = answer(said)["checks"]
    assert "none of 2 started" in check["seen"]
    assert "srun: error:" in check["seen"]


@alongside
def test_doctor_asks_the_scheduler(study: Study) -> None:
    found = checks(study.hlb("doctor", *MACHINE))
    for name in ("Slurm commands", "Slurm answers", "srun --mpi", "account"):
        assert found[name]["state"] == "ok", found[name]
    assert found["partition"]["seen"].startswith("batch: 2 nodes")
    assert found["sacct"]["state"] == "warning"  # the cluster keeps no records
    study.write(queue="closed")
    found = checks(study.hlb("doctor", *MACHINE, expect=1))
    assert (found["partition"]["state"], found["partition"]["seen"]) == ("problem", "closed is down")
    study.write(queue="btach")
    assert "there is no btach" in checks(study.hlb("doctor", *MACHINE, expect=1))["partition"]["seen"]
