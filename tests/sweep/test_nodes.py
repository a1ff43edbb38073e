from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from sweep_program import SESSION, spec

from horovod_lb.errors import HlbError, RequestError
from horovod_lb.runs import RunDirectory
from horovod_lb.schedulers.hosts import Host
from horovod_lb.sweep import deadline, nodes, run_sweep
from horovod_lb.sweep.here import visible_gpus
from horovod_lb.sweep.machine import cores

pytest.importorskip("mpi4py")


def test_auto_outside_of_an_allocation_says_what_to_do() -> None:
    with pytest.raises(RequestError, match=r"no allocation here .*salloc -N 2 .*bsub -Is .*--hosts FILE"):
        nodes.find_hosts("auto", {"PATH": "/bin"})


def test_auto_takes_the_hosts_of_the_allocation() -> None:
    environ = {"SLURM_JOB_ID": "1", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_TASKS_PER_NODE": "3(x2)"}
    assert nodes.find_hosts("auto", {**environ, "SLURM_NTASKS": "6"}) == [Host("n1", 3), Host("n2", 3)]


def test_a_host_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("a slots=2\nb:3 # the large one\n")
    assert nodes.find_hosts(str(tmp_path / "hosts"), {}) == [Host("a", 2), Host("b", 3)]


def test_ranks_elsewhere_get_what_concerns_training_and_no_secrets(tmp_path: Path) -> None:
    environ = {"HLB_DATA": "/d", "NCCL_DEBUG": "INFO", "PATH": "/bin", "API_TOKEN": "x", "HOME": "/root"}
    assert nodes.launch_environment(environ) == {"HLB_DATA": "/d", "NCCL_DEBUG": "INFO", "PATH": "/bin"}
    assert nodes.launch_environment({"SLURM_JOB_ID": "7"}) == {"SLURM_OVERLAP": "1"}
    inside_lsf = {"LSB_JOBID": "7", "PATH": str(tmp_path)}
    assert "PRTE_MCA_plm_ssh_agent" not in nodes.launch_environment(inside_lsf)
    (tmp_path / "blaunch").touch(0o755)
    assert nodes.launch_environment(inside_lsf)["PRTE_MCA_plm_ssh_agent"] == "blaunch"


def test_visible_gpus_are_the_schedulers_else_all(tmp_path: Path) -> None:
    for name in ("nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert visible_gpus({}, tmp_path) == ["2", "10"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "3, GPU-a"}, tmp_path) == ["3", "GPU-a"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == []
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "-1"}, tmp_path) == []


def test_a_probe_tells_cores_and_gpus_which_limit_the_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert nodes.probe([Host("localhost", 5)]) == [nodes.Node("localhost", 2, cores(), ("4", "7"))]


def test_a_host_that_cannot_be_reached_is_named_with_what_the_launcher_says() -> None:
    with pytest.raises(HlbError, match=r"every host \(localhost, nowhere\.invalid\): status [1-9]\d*\n.*\w"):
        nodes.probe([Host("localhost", 1), Host("nowhere.invalid", 1)])


def test_sessions_on_one_host_have_gpus_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    specs = [spec(number, "wait", workers=1, seconds=0.4, epochs=3) for number in range(2)]
    assert run_sweep("s", specs, tmp_path, command=SESSION, hosts=[Host("localhost", 2)]) == 0
    exits = [RunDirectory(tmp_path / "s" / one["run_id"]).read_exit() or {} for one in specs]
    assert sorted(one["gpus"] for one in exits) == ["4", "7"]
    first, second = sorted(one["began"] for one in exits)
    assert second < first + 1.2, "they run at the same time"
    assert "1 host for 2 ranks each" in capfd.readouterr().out


def test_workers_that_the_hosts_do_not_hold_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"4 ranks does not fit on these hosts \(localhost 2\)"):
        run_sweep(
            "s", [spec(0, workers=4)], tmp_path, workers=4, command=SESSION, hosts=[Host("localhost", 2)]
        )
    assert not (tmp_path / "s").exists()


def test_a_sweep_stops_in_time_with_checkpoints_and_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    specs = [spec(0, "wait", seconds=0.2, epochs=40)]
    began = time.monotonic()
    assert run_sweep("s", specs, tmp_path, workers=2, command=SESSION, seconds=6) == 1
    assert time.monotonic() - began < 6
    run = RunDirectory(tmp_path / "s" / specs[0]["run_id"])
    assert str(run.state()) == "stopped"
    assert 3 < len(run.read_metrics()) < 40
    said = capfd.readouterr().out
    assert "the time is almost up" in said
    assert "the same command goes on from the last checkpoints" in said


def test_the_end_of_an_allocation_is_read_or_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert deadline.seconds_left({}) is None
    left = deadline.seconds_left({"SLURM_JOB_ID": "1", "SLURM_JOB_END_TIME": str(int(time.time()) + 90)})
    assert left is not None
    assert 85 < left <= 90
    squeue = tmp_path / "squeue"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    squeue.write_text(
        "#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1\n"
    )
    squeue.chmod(0o755)
    assert deadline.seconds_left({"SLURM_JOB_ID": "1"}) is None, "a silent scheduler forbids nothing"


def test_of_a_short_time_a_quarter_is_kept_for_checkpoints() -> None:
    now = time.time()
    assert deadline.stopping_time(40) == pytest.approx(now + 30, abs=1)
    assert deadline.stopping_time(7200) == pytest.approx(now + 7200 - 120, abs=1)
