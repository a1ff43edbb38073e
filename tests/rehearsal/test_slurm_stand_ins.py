"""Slurm's commands as a rehearsal plays them: grammar, arrays, warnings, requeues, steps."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from stand_ins import Cluster, lines

from horovod_lb.rehearsal import faults

ROOT = Path(__file__).resolve().parents[2]
HEAD = "#SBATCH -A abc123 -t 60 -N 1"


def sbatch(cluster: Cluster, *words: str | Path) -> str:
    """Submits and returns the id."""
    return cluster.said("sbatch", "--parsable", *words).strip()


def state(cluster: Cluster, job: str) -> list[str]:
    """The state of each element."""
    return cluster.said("squeue", "-h", "-r", "-t", "all", "-j", job, "-o", "%T").split()


def over(cluster: Cluster, job: str) -> list[str]:
    """The same, once none waits or runs."""

    def ended() -> list[str]:
        found = state(cluster, job)
        return found if not {"PENDING", "RUNNING"} & set(found) else []

    return list(cluster.wait(ended, f"job {job} over"))


GOOD = [
    "-N 2 --ntasks-per-node=8 --gpus-per-node=8 -c 7 -t 2:00:00",
    "--nodes=5 --time=6:00:00",
    "-N1 -t 120 -J name --signal=B:USR2@120 --requeue --open-mode=append",
    "-N 1 -t 0-02:00 -p debug",
    "-N 1 -t 30:00 -a 0-9:3,11%4",
    "-N 1 -t 5 --gres=gpu:8",
    "-n 8 -c 7 --gpus-per-task=1 --ntasks-per-node=8 -t 5",
]
BAD = [
    ("-N 1 --nnodes=2", "unrecognized option"),
    ("-N 1 -t 1:2:3:4", "invalid value"),
    ("-N zero", "invalid value"),
    ("-N 1 -p nopart", "invalid partition specified: nopart"),
    ("-N 17 -t 5", "Requested node configuration is not available"),
    ("-N 1 --gpus-per-node=9", "Requested node configuration is not available"),
    ("-N 1 -c 57", "Requested node configuration is not available"),
    ("-N 4 -t 121", "Requested time limit is invalid"),
    ("-N 1 -a 0-100", "Invalid job array specification"),
    ("-N 1 -a 3-1", "invalid value"),
    ("-N 1 -a 0-1%0", "invalid value"),
    ("-N 1 -a 0-60", "job submit limit"),
    ("-N 1 --signal=USR2:120", "invalid value"),
    ("-N 1 --signal=B:NOSUCH@120", "invalid value"),
    ("-N 1 -d afterwards:1", "invalid value"),
    ("-N 1 --gpu-bind=nearest", "invalid value"),
    ("-N 1 --open-mode=add", "invalid value"),
]


def test_grammar(slurm: Cluster) -> None:
    script = slurm.script("true")
    for words in GOOD:
        assert sbatch(slurm, "-H", "-A", "abc", *words.split(), script).isdecimal(), words
        assert slurm.said("scancel", *lines(slurm.said("squeue", "-h", "-r", "-o", "%i"))) == ""
    for words, text in BAD:
        done = slurm.run("sbatch", "-A", "abc", *words.split(), script)
        assert (done.returncode, done.stdout) == (1, ""), words
        assert text in done.stderr, words
    for words, text in (
        ([script], "Invalid account or account/partition combination specified"),
        (["-A", "abc", "absent.sh"], "Unable to open file absent.sh"),
        (["-A", "abc", slurm.script("true", name="no.sh")], "does not look like a batch script"),
    ):
        if "no.sh" in str(words[-1]):
            (slurm.work / "no.sh").write_text("true\n")
        assert text in slurm.run("sbatch", *words).stderr


def test_directives_end_at_the_first_command_and_the_command_line_beats_them(slurm: Cluster) -> None:
    script = slurm.script("true\n#SBATCH --no-such-option", HEAD, "#SBATCH -J inside --hold")
    sbatch(slurm, script)
    sbatch(slurm, "--job-name=outside", script)
    assert slurm.said("squeue", "-h", "-o", "%j").split() == ["inside", "outside"]


def test_array_with_a_throttle(slurm: Cluster) -> None:
    body = """
n=$SLURM_ARRAY_TASK_ID
mkdir running.$n; ls -d running.* | wc -l >> together; sleep 0.3
until [ -e go ]; do sleep 0.05; done; rmdir running.$n
echo $SLURM_ARRAY_JOB_ID $SLURM_ARRAY_TASK_COUNT $SLURM_ARRAY_TASK_MIN $SLURM_ARRAY_TASK_MAX
exit $((n == 2))"""
    job = sbatch(slurm, "--array=0-3%2", slurm.script(body, HEAD, "#SBATCH -J arr"))
    waiting = slurm.said("squeue", "-h", "-o", "%i|%T|%r")
    assert "1_[" in waiting
    assert "%2]|PENDING|JobArrayTaskLimit" in waiting
    (slurm.work / "go").touch()
    assert over(slurm, job) == ["COMPLETED", "COMPLETED", "FAILED", "COMPLETED"]
    assert max(map(int, slurm.read("together").split())) == 2
    assert slurm.read("slurm-1_3.out").split() == ["1", "4", "0", "3"]
    accounts = slurm.said("sacct", "-X", "-n", "-P", "-j", job, "-o", "JobID,State,ExitCode")
    assert lines(accounts) == [
        "1_0|COMPLETED|0:0",
        "1_1|COMPLETED|0:0",
        "1_2|FAILED|1:0",
        "1_3|COMPLETED|0:0",
    ]


def test_warning_to_the_shell_and_a_requeue_of_its_own(make: Callable[..., Cluster]) -> None:
    cluster = make(minute=0.5)
    body = """
trap 'echo warned after $SECONDS; scontrol requeue $SLURM_JOB_ID; sleep 30' USR2
echo life ${SLURM_RESTART_COUNT-first}; [ -n "$SLURM_RESTART_COUNT" ] && exit 0
sleep 60 & wait"""
    script = cluster.script(
        body, "#SBATCH -A a -N 1 -t 6 --signal=B:USR2@120 --requeue --open-mode=append -o out"
    )
    job = sbatch(cluster, script)
    cluster.wait(lambda: "PENDING|BeginTime" in cluster.run("squeue", "-h", "-o", "%T|%r").stdout)
    assert over(cluster, job) == ["COMPLETED"]
    said = lines(cluster.read("out"))
    assert [line.split()[0] for line in said] == ["life", "warned", "life"]
    assert (said[0], said[2]) == ("life first", "life 1")


def test_the_log_of_the_first_life_is_lost_without_append(slurm: Cluster) -> None:
    body = """
echo life ${SLURM_RESTART_COUNT-0}
[ -n "$SLURM_RESTART_COUNT" ] || { scontrol requeue $SLURM_JOB_ID; sleep 30; }"""
    job = sbatch(slurm, slurm.script(body, HEAD, "#SBATCH -o out"))
    assert over(slurm, job) == ["COMPLETED"]
    assert slurm.read("out") == "life 1\n"


def test_time_limit_and_scancel(make: Callable[..., Cluster]) -> None:
    cluster = make(minute=0.3)
    late = sbatch(cluster, cluster.script("sleep 60", "#SBATCH -A a -N 1 -t 2", name="late.sh"))
    gone = sbatch(cluster, cluster.script("touch up; sleep 60", "#SBATCH -A a -N 1 -t 99", name="gone.sh"))
    cluster.wait(lambda: (cluster.work / "up").exists())
    assert cluster.said("scancel", gone) == ""
    assert over(cluster, late) == ["TIMEOUT"]
    assert over(cluster, gone) == ["CANCELLED"]
    assert cluster.said("sacct", "-X", "-n", "-P", "-j", gone, "-o", "State") == "CANCELLED by 0\n"
    assert cluster.said("scancel", "77") == "", "unknown ids are passed over in silence"
    unknown = cluster.run("squeue", "-j", "77")
    assert (unknown.returncode, unknown.stderr) == (1, "slurm_load_jobs error: Invalid job id specified\n")


def test_dependencies(slurm: Cluster) -> None:
    first = sbatch(slurm, slurm.script("until [ -e go ]; do sleep 0.05; done; exit 1", HEAD, name="first.sh"))
    after = slurm.script("true", HEAD, name="after.sh")
    any_end = sbatch(slurm, f"--dependency=afterany:{first}", after)
    success = sbatch(slurm, "-d", f"afterok:{first}", after)
    twin = sbatch(slurm, "-J", "first.sh", "-d", "singleton", after)
    assert slurm.said("squeue", "-h", "-j", any_end, "-o", "%T|%r") == "PENDING|Dependency\n"
    (slurm.work / "go").touch()
    assert over(slurm, any_end) == ["COMPLETED"]
    assert over(slurm, twin) == ["COMPLETED"]
    assert state(slurm, success) == ["PENDING"]


def test_node_failure_requeues_unless_told_otherwise(slurm: Cluster) -> None:
    body = 'touch up$SLURM_JOB_ID; [ -n "$SLURM_RESTART_COUNT" ] && exit 0; sleep 60'
    script = slurm.script(body, HEAD)
    again, once = sbatch(slurm, "--requeue", script), sbatch(slurm, "--no-requeue", script)
    slurm.wait(lambda: all((slurm.work / f"up{job}").exists() for job in (again, once)))
    for job in (again, once):
        faults.fail_node(slurm.folder, int(job))
    assert over(slurm, again) == ["COMPLETED"]
    assert over(slurm, once) == ["NODE_FAIL"]


SHOW = "echo $SLURM_PROCID/$SLURM_NTASKS $SLURM_LOCALID gpus $CUDA_VISIBLE_DEVICES on $SLURM_JOB_NODELIST"


@pytest.mark.parametrize(
    ("words", "gpus"),
    [
        ("--gpus-per-task=1 --gpu-bind=closest", ["0", "1"]),
        ("--gpus-per-node=8", ["0,1,2,3,4,5,6,7"] * 2),
        ("", ["0,1,2,3,4,5,6,7"] * 2),
    ],
)
def test_steps_are_true_ranks(slurm: Cluster, words: str, gpus: list[str]) -> None:
    """16 tasks are asked for, of 6 groups two divisors fit, so two start."""
    run = slurm.work / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"derived": {"groups": 6}}))
    srun = f"srun -N 2 -n 16 --ntasks-per-node=8 -c 7 {words} --kill-on-bad-exit=1 --mpi=pmix"
    body = f"{srun} sh -c {shlex.quote(SHOW)} x --run run > out; scontrol show hostnames > hosts"
    head = "#SBATCH -A a -t 60 -N 2 --ntasks-per-node=8 --gpus-per-node=8 -c 7"
    assert over(slurm, sbatch(slurm, slurm.script(body, head))) == ["COMPLETED"]
    expected = [f"{rank}/2 {rank} gpus {gpus[rank]} on node[01-02]" for rank in range(2)]
    assert sorted(lines(slurm.read("out"))) == expected
    assert slurm.read("hosts").split() == ["node01", "node02"]


def test_steps_that_do_not_fit(slurm: Cluster) -> None:
    words = [
        "-N 3",
        "-n 9 --ntasks-per-node=9 -c 7",
        "-n 8 -c 7 --gpus-per-node=9",
        "-n1 --foo",
        "--mpi=pmi9 -n1",
    ]
    body = "\n".join(f"srun {line} true 2> {number}; echo $? >> rc" for number, line in enumerate(words))
    head = "#SBATCH -A a -t 60 -N 1 --ntasks-per-node=8 --gpus-per-node=8 -c 7"
    over(slurm, sbatch(slurm, slurm.script(body, head)))
    assert slurm.read("rc").split() == ["1"] * len(words)
    assert all("More processors requested than permitted" in slurm.read(str(number)) for number in range(3))
    assert slurm.run("srun", "-n1", "true").returncode == 1, "outside of a job"


def test_down(slurm: Cluster) -> None:
    faults.break_down(slurm.folder, system="slurm", seconds=0.3, status=1)
    began = time.monotonic()
    done = slurm.run("squeue")
    assert time.monotonic() - began > 0.3
    assert (done.returncode, done.stdout) == (1, "")
    assert "Unable to contact slurm controller" in done.stderr


GOLDEN = [
    path for path in sorted((ROOT / "tests/schedulers/golden").glob("*.sbatch")) if "frontier" in path.name
]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_rendered_scripts_are_accepted(path: Path, make: Callable[..., Cluster]) -> None:
    from dataclasses import asdict

    from horovod_lb.machines import load_machine
    from horovod_lb.rehearsal.install import site_of

    site = asdict(site_of(load_machine("frontier"))) | {"queues": site_of(load_machine("frontier")).queues}
    assert sbatch(make(**site), "--hold", path) == "1"
