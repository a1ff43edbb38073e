"""`hlb run --hosts auto` inside `salloc`: mpirun over the nodes of a real allocation, several at a time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import Any

from alongside import alongside
from slurm_study import ENVIRONMENT, HLB, ROOT, Study, assert_same_result, provenance

from horovod_lb.runs import RunDirectory, State

sys.path.append(str(ROOT / "tests" / "sweep"))
from sweep_program import PROGRAM, spec

# A life on another host would count as alive for five minutes: nothing here may have to wait for that.
SOON = 60.0


def allocation(tasks: int, *words: str) -> list[str]:
    """`salloc` of two nodes with so many tasks and GPUs each, around a command."""
    each = (f"--ntasks-per-node={tasks}", f"--gpus-per-node={tasks}")
    return ["salloc", "--quiet", "--nodes=2", *each, "--time=5", *words]


class Sweep:
    """A sweep of trivial sessions in an allocation, started from the login node."""

    def __init__(self, study: Study, tasks: int, specs: list[dict[str, Any]]) -> None:
        self.study = study
        self.runs = [RunDirectory(study.folder / "runs" / "s" / one["run_id"]) for one in specs]
        options = json.dumps({"workers": 2, "hosts": "auto"})
        program = (sys.executable, str(PROGRAM), str(study.folder / "runs"), json.dumps(specs), options)
        self.command = study.cluster.login.enter(*allocation(tasks, *program), cwd=study.folder)

    def start(self) -> None:
        environment = {**self.study.cluster.environment(), **ENVIRONMENT, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            self.command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )

    def wait(self, timeout: float = SOON) -> tuple[int, str]:
        said, _ = self.process.communicate(timeout=timeout)
        return self.process.returncode, said

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the newest supervisor, whose process id is the login node's."""
        newest = max((self.study.folder / "runs" / "s" / "sessions").glob("*/supervisor.json"))
        pid = json.loads(newest.read_text())["pid"]
        self.study.cluster.login.run("kill", f"-{number.value}", str(pid))

    def wait_until_all_train(self) -> None:
        self.study.wait_for(
            "runs that train", lambda: all(len(run.read_metrics()) >= 2 for run in self.runs), SOON
        )

    def exits(self) -> list[dict[str, Any]]:
        return [run.read_exit() or {} for run in self.runs]

    def ranks(self) -> list[str]:
        """Ranks of this sweep on both nodes."""
        nodes = [self.study.cluster.nodes[name] for name in ("m1", "m2")]
        lines = [line for node in nodes for line in node.run("ps", "-eww", "-o", "args").splitlines()]
        return [line for line in lines if "trivial_session" in line and str(self.study.folder) in line]


@alongside
def test_a_study_trained_over_an_allocation_equals_training_here(study: Study) -> None:
    words = ("run", "study.yaml", "--hosts", "auto", "--threads", "1", "--where", "seed == 0")
    said = study.on_login(*allocation(1, *HLB, *words))
    assert "2 hosts for 1 ranks each" in said
    assert_same_result(study.run, study.reference)
    assert [provenance(study.run)["ranks"], provenance(study.run)["ranks_on_host"]] == [2, 1]


@alongside
def test_runs_share_the_nodes_at_the_same_time_and_crash_alone(study: Study) -> None:
    """Four places for two ranks; rank 0 is on another host than the sweep, so are those that crash."""
    ends = {number: ("kill", "raise", "orphan")[number - 4] for number in (4, 5, 6)}
    specs = [spec(number, "wait", seconds=1, epochs=4) for number in range(4)]
    specs += [spec(number, do, rank=1) for number, do in ends.items()]
    specs.append(spec(7, "wait", seconds=0.1))
    sweep = Sweep(study, 4, specs)
    sweep.start()
    code, said = sweep.wait()
    assert code == 1, said
    exits = sweep.exits()
    assert [one["state"] for one in exits] == ["completed"] * 4 + ["failed"] * 3 + ["completed"]
    first = exits[:4]
    # Which devices of a node the job has depends on the jobs beside it.
    assert sorted(one["host"] for one in first) == ["m1", "m1", "m2", "m2"]
    for host in ("m1", "m2"):
        gpus = [gpu for one in first if one["host"] == host for gpu in one["gpus"].split(",")]
        assert len(set(gpus)) == len(gpus) == 4
    assert max(one["began"] for one in first) < min(one["time"] for one in first)
    assert "signal 9" in exits[4]["error"]
    assert exits[5]["error"] == "ValueError: the learning rate is purple (rank 1)"
    study.wait_for("end of the ranks", lambda: not sweep.ranks(), 15)


@alongside
def test_a_run_over_both_nodes(study: Study) -> None:
    sweep = Sweep(study, 1, [spec(0, "wait", seconds=0.1)])
    sweep.start()
    code, said = sweep.wait()
    assert code == 0, said
    logs = [(sweep.runs[0].segments / "1" / name).read_text() for name in ("log", "log.1")]
    assert ["on m1" in logs[0], "on m2" in logs[1]] == [True, True]


@alongside
def test_a_killed_sweep_takes_its_ranks_along_and_goes_on_at_once(study: Study) -> None:
    sweep = Sweep(study, 2, [spec(number, "wait", seconds=0.3, epochs=40) for number in range(2)])
    sweep.start()
    sweep.wait_until_all_train()
    assert len(sweep.ranks()) == 4
    sweep.signal(signal.SIGKILL)
    sweep.wait()
    study.wait_for("end of the ranks", lambda: not sweep.ranks(), 15)
    assert [run.state() for run in sweep.runs] == [State.RUNNING] * 2, "from here nobody can know"
    began = time.monotonic()
    sweep.start()
    code, said = sweep.wait()
    assert code == 0, said
    assert time.monotonic() - began < SOON
    for run in sweep.runs:
        assert [row["epoch"] for row in run.read_metrics()] == list(range(1, 41))


@alongside
def test_an_interrupted_sweep_stops_its_runs_on_all_hosts(study: Study) -> None:
    sweep = Sweep(study, 2, [spec(number, "wait", seconds=0.3, epochs=400) for number in range(2)])
    sweep.start()
    sweep.wait_until_all_train()
    sweep.signal(signal.SIGINT)
    code, said = sweep.wait()
    assert code == 130, said
    assert [run.state() for run in sweep.runs] == [State.STOPPED] * 2
    assert [one["reason"] for one in sweep.exits()] == ["asked to"] * 2


@alongside
def test_ranks_that_do_not_stop_are_ended_and_their_runs_may_go_on(study: Study) -> None:
    sweep = Sweep(study, 2, [spec(0, "wait", seconds=600)])
    sweep.start()
    study.wait_for("a run that trains", lambda: sweep.runs[0].state() is State.RUNNING, SOON)
    sweep.signal(signal.SIGINT)
    study.wait_for("the request", sweep.runs[0].stop_requested, SOON)
    sweep.signal(signal.SIGINT)
    code, said = sweep.wait()
    assert code == 130, said
    assert sweep.runs[0].state() is State.STOPPED, "not running for five minutes more"
    assert "ended before" in sweep.exits()[0]["reason"]
    assert not sweep.ranks()


@alongside
def test_the_end_of_the_allocation_is_known(study: Study) -> None:
    ask = "import os; from horovod_lb.sweep.deadline import seconds_left; print(seconds_left(os.environ))"
    assert 200 < float(study.on_login(*allocation(1, sys.executable, "-c", ask))) <= 300
