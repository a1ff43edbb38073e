"""jsrun takes resource sets that fit a Summit node, and starts true ranks."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from stand_ins import LsfCluster, alive, lines

HEAD = ("#BSUB -P ABC123", "#BSUB -W 1:00")
ROOM = "ERROR: Not enough resources available to schedule job."


def in_job(cluster: LsfCluster, body: str, nodes: int = 2) -> None:
    """Runs `body` as a batch job on so many nodes."""
    job = cluster.bsub(cluster.script(body, *HEAD, f"#BSUB -nnodes {nodes}"))
    cluster.over(job)


GOOD = [
    "-n12 -r6 -a1 -g1 -c7 -bpacked:7 -dpacked",
    "-n 12 -r 6 -a 1 -g 1 -c 7 -b packed:7 -d packed",
    "--nrs 12 --rs_per_host=6 --tasks_per_rs 1 --gpu_per_rs=1 --cpu_per_rs 7 --bind packed:7",
    "-n2 -r1 -a6 -g6 -c42 -bpacked:7 -dpacked",
    "-n1 -a1 -c21 -g3 -bpacked:21",
    "-n84 -a1 -c1",
    "-n12 -r6 -a1 -g1 -c7 -bpacked:7 -lgpu-cpu",
    "-n12 -r6 -a1 -g1 -c7 -bnone --smpiargs=-gpu",
    "-n1 -r1 -a1 -c1 -M -disable_gpu_hooks",
    "-nALL_HOSTS -r1 -c1",
    "-p4 -c1",
    "-n2 -X 1 -E NAME=value -c1",
]
BAD = [
    ("-n12 -r7 -a1 -g1 -c6 -bpacked:6", ROOM),  # 7 GPUs on a node of 6
    ("-n12 -r6 -a1 -g1 -c8 -bpacked:8", ROOM),  # 48 cores on a node of 42
    ("-n13 -r6 -a1 -g1 -c7 -bpacked:7", ROOM),  # a set more than two nodes hold
    ("-n85 -c1", ROOM),
    ("-n1 -g7 -c1", ROOM),
    ("-n1 -c43", ROOM),
    ("-n12 -r6 -a1 -g1 -c1 -bpacked:7", "do not fit into 1 cores"),  # -c1 is what jsrun takes by default
    ("-n2 -a6 -g6 -r1 -c7 -bpacked:7", "do not fit into 7 cores"),
    ("-n0 -c1", "invalid value '-n'"),
    ("-n12 -r6 -z", "unrecognized option '-z'"),
    ("--nnodes 2", "unrecognized option '--nnodes'"),
    ("-n1 -lGPU-CPU", "invalid value '-l'"),  # upper case: a documented bug
    ("-n1 -bcore", "invalid value '-b'"),
    ("-n1 -bpacked:0", "invalid value '-b'"),
    ("-n1 -dspread", "invalid value '-d'"),
    ("-n1 --smpiargs='-gpu -disable_gpu_hooks'", "invalid value '--smpiargs'"),
    ("-n2 -p2 -c1", "invalid value '-p' with -n"),
]


def test_layouts(summit: LsfCluster) -> None:
    words = [*GOOD, *(words for words, _ in BAD)]
    body = "\n".join(
        f"jsrun {line} true > {number}.out 2>&1; echo $? > {number}.rc" for number, line in enumerate(words)
    )
    body += "\njsrun -n2 > none.out 2>&1; echo $? > none.rc"
    body += "\nTMPDIR=/tmp jsrun -n1 -c1 true > tmpdir.out 2>&1; echo $? > tmpdir.rc"
    in_job(summit, body)
    for number, line in enumerate(GOOD):
        assert (summit.read(f"{number}.rc"), summit.read(f"{number}.out")) == ("0\n", ""), line
    for number, (line, text) in enumerate(BAD, len(GOOD)):
        assert summit.read(f"{number}.rc") == "1\n", line
        assert text in summit.read(f"{number}.out"), line
    assert "missing argument 'executable'" in summit.read("none.out")
    assert summit.read("tmpdir.rc") == "1\n"
    assert "Error initializing RM connection. Exiting." in summit.read("tmpdir.out")


def test_outside_of_a_job(summit: LsfCluster) -> None:
    done = summit.run("jsrun", "-n1", "true")
    assert done.returncode == 1
    assert "only possible to use js commands within a job allocation" in done.stderr
    # Nor with the variables of a job that is over.
    job = summit.bsub(summit.script("true", *HEAD, "#BSUB -nnodes 1"))
    summit.over(job)
    late = summit.run("jsrun", "-n1", "true", extra={"LSB_JOBID": str(job), "LSB_JOBINDEX": "0"})
    assert late.returncode == 1


_RANK = "$JSM_NAMESPACE_RANK/$JSM_NAMESPACE_SIZE $JSM_NAMESPACE_LOCAL_RANK"
SHOW = f"echo {_RANK} gpu $CUDA_VISIBLE_DEVICES $LSB_JOBID"


def run_with_groups(folder: Path, groups: int) -> Path:
    """A run folder as far as the stand-ins read it."""
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"derived": {"groups": groups}}))
    return folder


@pytest.mark.parametrize(
    ("groups", "most", "ranks"), [(12, 3, 3), (12, 5, 4), (7, 4, 1), (None, 4, 4), (240, 2, 2)]
)
def test_as_many_ranks_start_as_divide_the_groups(
    make: Callable[..., LsfCluster], groups: int | None, most: int, ranks: int
) -> None:
    cluster = make(ranks=most, slots=8)
    run = f" --run {run_with_groups(cluster.work / 'run', groups)}" if groups else ""
    program = f"sh -c {shlex.quote(SHOW)} program{run}"
    in_job(cluster, f"jsrun -n12 -r6 -a1 -g1 -c7 -bpacked:7 -dpacked {program} > out 2> err")
    expected = [f"{rank}/{ranks} {rank} gpu 0 1" for rank in range(ranks)]
    assert sorted(lines(cluster.read("out"))) == expected, cluster.read("err")


def test_all_gpus_are_visible_to_ranks_that_share_a_set(make: Callable[..., LsfCluster]) -> None:
    cluster = make(ranks=2)
    in_job(cluster, f"jsrun -n2 -r1 -a6 -g6 -c42 -bpacked:7 sh -c {shlex.quote(SHOW)} > out")
    assert sorted(lines(cluster.read("out"))) == [f"{rank}/2 {rank} gpu 0,1,2,3,4,5 1" for rank in range(2)]


def test_the_status_of_the_step_and_where_its_output_goes(summit: LsfCluster) -> None:
    body = """
jsrun -n1 -c1 sh -c 'exit 7'; echo $? > seven
jsrun -n1 -c1 no-such-program 2> missing; echo $? > absent
jsrun -n1 -c1 -o step.out -k step.err sh -c 'echo one; echo two >&2'
jsrun -n1 -c1 --immediate sh -c 'echo lost' > kept"""
    in_job(summit, body)
    assert summit.read("seven") == "7\n"
    assert summit.read("absent") not in ("0\n", "")
    assert "No such file" in summit.read("missing")
    assert (summit.read("step.out"), "two\n" in summit.read("step.err")) == ("one\n", True)
    assert summit.read("kept") == ""


def test_steps_wait_for_resource_sets(make: Callable[..., LsfCluster]) -> None:
    """Two nodes hold two steps of a node each; a third waits, and one of both nodes waits for all."""
    cluster = make(ranks=1, slots=10)
    cluster.script("echo begin $1 >> order; until [ -e go$1 ]; do sleep 0.05; done", name="step.sh")
    body = """
for n in 1 2 3; do
    jsrun -n6 -r6 -a1 -g1 -c7 -bpacked:7 ./step.sh $n &
done
until [ $(wc -l < order) = 2 ]; do sleep 0.05; done
jsrun -n12 -r6 -a1 -g1 -c7 -bpacked:7 sh -c 'echo begin all >> order' &
wait"""
    cluster.bsub(cluster.script(body, *HEAD, "#BSUB -nnodes 2"))
    cluster.wait(lambda: len(lines(cluster.read("order"))) == 2)
    first = [line.split()[1] for line in lines(cluster.read("order"))]
    (cluster.work / f"go{first[0]}").touch()
    cluster.wait(lambda: len(lines(cluster.read("order"))) == 3)
    for number in "123":
        (cluster.work / f"go{number}").touch()
    cluster.wait(lambda: lines(cluster.read("order"))[3:] == ["begin all"])


def test_ranks_wait_for_this_machines_cores_and_the_clock_with_them(make: Callable[..., LsfCluster]) -> None:
    """A job whose steps find no core here does not use up its wall time: there it would run."""
    cluster = make(ranks=2, slots=2, minute=0.2)
    hold = "touch up; until [ -e go ]; do sleep 0.05; done"
    busy = cluster.bsub(
        cluster.script(f"jsrun -n2 -c1 sh -c {shlex.quote(hold)}", *HEAD, "#BSUB -nnodes 1", name="busy.sh")
    )
    cluster.wait(lambda: (cluster.work / "up").exists())
    short = "#BSUB -P A -nnodes 1 -W 8"
    waits = cluster.bsub(cluster.script("touch waits; jsrun -n2 -c1 touch done", short, name="waits.sh"))
    cluster.wait(lambda: (cluster.work / "waits").exists())
    time.sleep(2 * 0.2 * 8)
    assert cluster.states(waits) == ["RUN"], "though its wall time is long over"
    (cluster.work / "go").touch()
    assert cluster.over(waits) == ["DONE"]
    assert cluster.over(busy) == ["DONE"]
    assert (cluster.work / "done").exists()


def test_the_warning_does_not_reach_the_ranks_and_bkill_ends_them(summit: LsfCluster) -> None:
    rank = "trap 'echo usr2 > heard' USR2; echo $$ > pid; for i in $(seq 600); do sleep 0.1; done"
    body = f"trap 'echo warned > shell' USR2\njsrun -n1 -c1 bash -c {shlex.quote(rank)} & wait; wait"
    job = summit.bsub(summit.script(body, *HEAD, "#BSUB -nnodes 1"))
    summit.wait(lambda: summit.read("pid"))
    summit.said("bkill", "-s", "USR2", str(job))
    summit.wait(lambda: summit.read("shell"))
    assert summit.states(job) == ["RUN"]
    assert summit.read("heard") == ""
    summit.said("bkill", str(job))
    assert summit.over(job) == ["EXIT"]
    assert alive([int(summit.read("pid"))]) == []
