"""Job scripts at work: signals, exit statuses, requeueing, logs, staging; bash runs them, nothing is imitated
but the task and `scontrol`."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from played import TELLS, UNTIL_STOPPED, Played
from scripts import machine, request

from horovod_lb.machines import Machine
from horovod_lb.schedulers.types import Array, JobRequest

USR2, TERM, INT, URG = signal.SIGUSR2, signal.SIGTERM, signal.SIGINT, signal.SIGURG


@pytest.fixture
def played(tmp_path: Path) -> Played:
    return Played(tmp_path, UNTIL_STOPPED)


def job(played: Played, on: Machine, **changes: object) -> JobRequest:
    return request(on, folder=played.folder, python=str(played.python), **changes)


def requeued(played: Played) -> str:
    path = played.folder / "scontrol"
    return path.read_text() if path.exists() else ""


def test_the_warning_stops_the_task_and_requeues_the_job(played: Played) -> None:
    status, output = played.warned(job(played, machine("slurm-6gpu")), USR2)
    assert requeued(played) == "requeue 123\n"
    assert status == 85
    assert "goes back into the queue" in output
    assert not list(played.folder.glob("*.stop"))


def test_an_element_requeues_itself_alone(played: Played) -> None:
    played.warned(job(played, machine("slurm-6gpu"), array=Array(0, 9)), USR2)
    assert requeued(played) == "requeue 123_4\n"


@pytest.mark.parametrize("end", [TERM, INT])
def test_who_is_told_to_end_does_not_come_back(played: Played, end: signal.Signals) -> None:
    status, output = played.warned(job(played, machine("slurm-6gpu")), end)
    assert (status, requeued(played)) == (85, "")
    assert "told to end" in output


def test_told_to_end_after_the_warning(played: Played) -> None:
    environ = {"SAVING": "0.5"}
    status, _ = played.warned(job(played, machine("slurm-6gpu")), USR2, TERM, environ=environ)
    assert (status, requeued(played)) == (85, "")


def test_many_signals_while_the_ranks_save_do_not_hide_the_status(played: Played) -> None:
    environ = {"SAVING": "0.6"}
    status, _ = played.warned(job(played, machine("slurm-6gpu")), USR2, USR2, USR2, environ=environ)
    assert (status, requeued(played)) == (85, "requeue 123\n")


def test_an_orphan_leaves_the_next_life_of_its_job_alone(played: Played) -> None:
    """Seen on a real Slurm: slurmd died alone, the job went on elsewhere, its first life ended only then."""
    status, output = played.warned(job(played, machine("slurm-6gpu")), USR2, environ={"RESTARTS": "1"})
    assert (status, requeued(played)) == (85, "")
    assert "another life" in output


def test_a_second_life_requeues_its_job(played: Played) -> None:
    environ = {"RESTARTS": "1", "SLURM_RESTART_COUNT": "1"}
    played.warned(job(played, machine("slurm-6gpu")), USR2, environ=environ)
    assert requeued(played) == "requeue 123\n"


def test_a_refused_requeue_is_told(played: Played) -> None:
    environ = {"REFUSED": "1"}
    status, output = played.warned(job(played, machine("slurm-6gpu")), USR2, environ=environ)
    assert status == 85
    assert "scontrol requeue 123 was refused; hlb submit goes on" in output


def test_a_chain_leaves_it_to_the_next_link(played: Played) -> None:
    status, output = played.warned(job(played, machine("slurm-6gpu", resume="chain")), USR2)
    assert (status, requeued(played)) == (85, "")
    assert "next job of the chain" in output


def test_where_term_is_the_warning_nobody_requeues(played: Played) -> None:
    """It cannot be told from scancel."""
    status, _ = played.warned(job(played, machine("slurm-6gpu", signal="TERM")), TERM)
    assert (status, requeued(played)) == (85, "")


def test_lsf_requeues_by_the_exit_status_and_appends_to_its_log(played: Played) -> None:
    one = job(played, machine("summit"), array=Array(1, 9))
    assert played.warned(one, USR2)[0] == 99
    (played.folder / "began").unlink()
    assert played.warned(one, INT)[0] == 85
    log = (played.folder / "123_4.log").read_text()
    assert log.count("goes back into the queue") == 1
    assert log.count("told to end") == 1


def test_lsf_signals_every_process_and_the_task_goes_on(played: Played) -> None:
    """Without the ignored signal the task would die of it, and the status be 140."""
    assert played.warned(job(played, machine("summit")), USR2, group=True)[0] == 99


def test_lsf_another_warning_signal_and_usr2_at_the_limit(played: Played) -> None:
    on = machine("summit", signal="URG")
    assert played.warned(job(played, on), URG, group=True)[0] == 99
    (played.folder / "began").unlink()
    assert played.warned(job(played, on), USR2, group=True)[0] == 99


def test_a_stop_file_of_an_earlier_life_stops_nothing(tmp_path: Path) -> None:
    program = TELLS + "[[ -e $PLAYED/123.stop ]] && exit 3\nexit 0\n"
    played = Played(tmp_path, program.replace('exit "${STATUS:-0}"\n', ""))
    (tmp_path / "123.stop").touch()
    assert played.run(job(played, machine("slurm-6gpu")))[0] == 0


@pytest.mark.parametrize("status", [0, 1, 2, 137, 140])
def test_other_statuses_are_the_jobs_own(tmp_path: Path, status: int) -> None:
    played = Played(tmp_path)
    assert played.run(job(played, machine("slurm-6gpu")), {"STATUS": str(status)})[0] == status
    assert requeued(played) == ""


def test_runs_that_stop_at_once_without_a_warning_do_not_go_round_for_ever(tmp_path: Path) -> None:
    played = Played(tmp_path)
    status, output = played.run(job(played, machine("slurm-6gpu")), {"STATUS": "85"})
    assert (status, requeued(played)) == (85, "")
    assert "stopped at once" in output


@pytest.mark.parametrize(
    ("name", "first", "index"), [("slurm-6gpu", 0, "4"), ("slurm-6gpu", 2, "2"), ("summit", 1, "3")]
)
def test_the_task_counts_from_0(tmp_path: Path, name: str, first: int, index: str) -> None:
    played = Played(tmp_path)
    played.run(job(played, machine(name), array=Array(first, 9), pack=7, retry=True, max_failures=2))
    words = played.words()
    launcher = words.index("--")
    assert words[:2] == ["-m", "horovod_lb.batch.task"]
    options = dict(zip(words[2:launcher:2], words[3:launcher:2], strict=False))
    assert options["--index"] == index
    assert (options["--pack"], options["--ranks"], options["--side-by-side"]) == ("7", "12", "1")
    assert "--retry" in words[:launcher]
    assert words[words.index("--max-failures") + 1] == "2"
    assert words[launcher + 1] in ("srun", "jsrun")


def test_what_the_ranks_find(tmp_path: Path) -> None:
    played = Played(tmp_path)
    on = machine(
        "slurm-6gpu", container=["apptainer exec x.sif"], modules=[], environment={"OMP_NUM_THREADS": "5"}
    )
    environ = {"SLURM_CPU_BIND": "x", "SLURM_CPU_BIND_TYPE": "y", "SLURM_GPUS_PER_NODE": "6"}
    played.run(
        job(played, on, array=Array(0, 9), environment={"NCCL_ALGO": "Tree", "HLB_MACHINE": "x"}), environ
    )
    found = played.variables()
    assert found["HLB_JOB"] == "slurm:123_4"
    assert found["HLB_JOB_SCRIPT"] == f"{tmp_path}/0.sh"
    assert (found["HLB_MACHINE"], found["HLB_GPUS"]) == ("slurm-6gpu", "all")
    assert (found["HLB_ALLREDUCE"], found["NCCL_ALGO"]) == (
        "ring",
        "Ring",
    )  # the recipe's, whatever others say
    assert (found["OMP_NUM_THREADS"], found["TF_NUM_INTRAOP_THREADS"]) == ("5", "2")
    assert (found["PYTHONUNBUFFERED"], found["HLB_PYTHON"]) == ("1", "python3")
    assert found["PATH"].startswith(f"{played.bin}:")
    assert not any(name.startswith(("SLURM_CPU_BIND", "SLURM_GPUS_PER")) for name in found)


def test_modules_and_set_up_lines_of_the_site(tmp_path: Path) -> None:
    played = Played(tmp_path)
    on = machine("slurm-6gpu", modules=["gcc/12", "cuda"], setup=['export FROM_SITE="$LOADED, $(echo run)"'])
    module = '() { shift; export LOADED="$*"; }'
    played.run(job(played, on), {"BASH_FUNC_module%%": module})
    assert played.variables()["FROM_SITE"] == "gcc/12 cuda, run"
    (tmp_path / "words").unlink()
    status, _ = played.run(job(played, on), {"BASH_FUNC_module%%": "() { return 1; }"})
    assert status == 1
    assert not (tmp_path / "words").exists()


def staged(played: Played, line: str, source: Path) -> JobRequest:
    local = {"storage.node_local": "$PLAYED/local disk", "storage.stage_in": line}
    return job(played, machine("local", **local), stage_from=source)


def test_data_are_copied_before_the_task_begins(tmp_path: Path) -> None:
    played = Played(tmp_path / "played")
    source = tmp_path / "da ta"
    source.mkdir()
    (source / "x").write_text("1")
    status, output = played.run(staged(played, 'cp -r "$HLB_STAGE_FROM"/. "$HLB_STAGE_TO"/', source))
    assert status == 0, output
    there = played.folder / "local disk" / "da ta"
    assert (there / "x").read_text() == "1"
    found = played.variables()
    assert found["HLB_DATA"] == str(there)
    assert found["HLB_STAGE_SECONDS"].isdecimal()


def test_a_copy_that_fails_costs_speed_only(tmp_path: Path) -> None:
    played = Played(tmp_path / "played")
    status, output = played.run(staged(played, "false", tmp_path))
    assert status == 0
    assert f"the ranks read {tmp_path}" in output
    assert not played.variables().get("HLB_DATA")
    assert "HLB_STAGE_SECONDS" not in played.variables()


def test_the_copy_runs_once_a_node_through_the_launcher(tmp_path: Path) -> None:
    played = Played(tmp_path)
    (played.bin / "srun").write_text('#!/bin/bash\nprintf "%s\\n" "$@" > "$PLAYED/srun"\n')
    (played.bin / "srun").chmod(0o755)
    local = {"storage.node_local": "/tmp", "storage.stage_in": "rsync x y"}
    played.run(job(played, machine("slurm-6gpu", **local), stage_from=Path("/data")))
    words = (tmp_path / "srun").read_text().splitlines()
    assert {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1"} <= set(words)
    assert words[-1] == "rsync x y"


def test_daemons_of_mpirun_stand_side_by_side_and_are_not_bound(tmp_path: Path) -> None:
    """Seen on a real Slurm: without it packed runs wait for each other on all nodes but the first."""
    played = Played(tmp_path)
    played.run(job(played, machine("slurm-6gpu", launcher="mpirun")), {"SLURM_GPUS_PER_NODE": "6"})
    found = played.variables()
    assert (found["SLURM_OVERLAP"], found["SLURM_CPU_BIND"]) == ("1", "none")
    assert found["SLURM_GPUS_PER_NODE"] == "6"  # else the daemons, and their ranks, see none
