"""Runs that nobody disturbs: on two nodes, in arrays, packed into one allocation."""

from __future__ import annotations

from alongside import alongside
from slurm_study import Study, assert_same_result, provenance


@alongside
def test_srun_on_two_nodes_equals_training_here(study: Study) -> None:
    study.submit()
    study.wait_for_end()
    assert set(provenance(study.run)["hosts"]) == {"m1", "m2"}
    assert study.job()["JobState"] == "COMPLETED"
    assert_same_result(study.run, study.reference)


@alongside
def test_mpirun_on_two_nodes_equals_training_here(study: Study) -> None:
    study.write(launcher="mpirun")
    study.submit()
    study.wait_for_end()
    assert set(provenance(study.run)["hosts"]) == {"m1", "m2"}
    assert_same_result(study.run, study.reference)


@alongside
def test_an_array_keeps_to_its_throttle_and_to_the_trajectory(study: Study) -> None:
    """Four runs on one rank each, two at a time; one rank gives what two ranks give, up to round-off."""
    study.submit("--workers", "1", "--throttle", "2", where="seed >= 0")
    study.wait_for_end(seconds=600)
    assert len(study.job_ids()) == 1
    assert len(study.runs()) == 4
    ends = [(run.read_events()[0]["time"], run.read_events()[-1]["time"]) for run in study.runs()]
    at_a_time = [sum(begin <= moment < end for begin, end in ends) for moment, _ in ends]
    assert max(at_a_time) <= 2
    assert_same_result(study.runs()[0], study.reference, tolerance=1e-5)


@alongside
def test_runs_packed_into_one_allocation(study: Study) -> None:
    """Two runs of a rank each, side by side on one node of two ranks, then the third."""
    study.write(ranks_per_node=2, gpus_per_node=2, cores_per_node=2)
    study.submit("--workers", "1", "--pack", "3", "--side-by-side", "2", where="seed < 3")
    study.wait_for_end(seconds=600)
    assert study.job()["NumNodes"] == "1"
    (first, second, third) = [
        (run.read_events()[0]["time"], run.read_events()[-1]["time"]) for run in study.runs()
    ]
    assert max(first[0], second[0]) < min(first[1], second[1])
    assert third[0] >= min(first[1], second[1])
    devices = [provenance(run)["environment"]["CUDA_VISIBLE_DEVICES"] for run in study.runs()[:2]]
    assert [len(device.split(",")) for device in devices] == [1, 1]
    assert devices[0] != devices[1]
    assert_same_result(study.runs()[0], study.reference, tolerance=1e-5)
