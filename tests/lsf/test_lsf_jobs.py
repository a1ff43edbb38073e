"""What becomes of jobs: arrays, dependencies, warnings, limits, requeues, kills, as LSF's manual has them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from stand_ins import LsfCluster, alive, lines, own_processes

from horovod_lb.rehearsal import faults

HEAD = ("#BSUB -P ABC123", "#BSUB -W 1:00", "#BSUB -nnodes 1")


def test_environment_of_a_job(summit: LsfCluster) -> None:
    body = """
echo $LSB_JOBID $LSB_JOBINDEX $LSB_JOBNAME $LSB_QUEUE $LSB_SUB_HOST > identity
echo $LSB_HOSTS > hosts; echo "$LSB_MCPU_HOSTS" > pairs; cat $LSB_DJOB_HOSTFILE > hostfile
echo $LSB_OUTPUTFILE $LS_SUBCWD > places; echo $OWN > own; pwd > where"""
    script = summit.script(body, "#BSUB -P A -W 1:00 -nnodes 2", "#BSUB -o out.%J", "#BSUB -J one")
    job = summit.bsub(script, extra={"OWN": "passed on"})
    assert summit.over(job) == ["DONE"]
    assert summit.read("identity").split() == ["1", "0", "one", "batch", os.uname().nodename]
    # One entry a slot, and before them the launch node, on which the script runs.
    slots = ["batch1"] + ["node0001"] * 42 + ["node0002"] * 42
    assert summit.read("hosts").split() == slots == summit.read("hostfile").split()
    assert summit.read("pairs") == "batch1 1 node0001 42 node0002 42 \n"
    assert summit.read("places").split() == [f"{summit.work}/out.1", str(summit.work)]
    assert summit.read("own") == "passed on\n"
    assert summit.read("where").strip() == str(summit.work)


def test_array_with_a_throttle_and_one_id(summit: LsfCluster) -> None:
    body = """
n=$LSB_JOBINDEX
mkdir running.$n; ls -d running.* | wc -l >> together; sleep 0.4; rmdir running.$n
echo out of $n; exit $((n == 3))"""
    job = summit.bsub(summit.script(body, *HEAD, '#BSUB -J "arr[1-5,9]%2"', "#BSUB -o out.%J.%I"))
    seen: set[tuple[str, ...]] = set()

    def over() -> bool:
        states = tuple(summit.states(job))
        seen.add(states)
        return set(states) <= {"DONE", "EXIT"}

    summit.wait(over)
    assert max(states.count("RUN") for states in seen) == 2
    assert max(map(int, summit.read("together").split())) == 2
    records = summit.jobs(job)
    assert [(one["JOBID"], one["JOBINDEX"], one["STAT"], one["EXIT_CODE"]) for one in records] == [
        ("1", str(index), "EXIT" if index == 3 else "DONE", "1" if index == 3 else "")
        for index in (1, 2, 3, 4, 5, 9)
    ]
    assert "out of 9" in summit.read("out.1.9")
    table = summit.said("bjobs", "-a", "-w", "-noheader", str(job))
    assert [line.split()[0] for line in lines(table)] == ["1"] * 6
    assert "arr[9]" in table


def test_output_comes_at_the_end_under_a_header(summit: LsfCluster) -> None:
    script = summit.script(
        "echo so far; until [ -e go ]; do sleep 0.05; done; exit 3", *HEAD, "#BSUB -o out", "#BSUB -J talk"
    )
    job = summit.bsub(script)
    summit.wait(lambda: "so far" in summit.run("bpeek", str(job)).stdout)
    assert summit.read("out") == ""
    (summit.work / "go").touch()
    assert summit.over(job) == ["EXIT"]
    text = summit.wait(lambda: summit.read("out"))
    assert text.startswith("Sender: LSF System <")
    assert "Subject: Job 1: <talk> Exited\n" in text
    assert "Exited with exit code 3.\n" in text
    assert text.endswith("The output (if any) follows:\n\nso far\n")
    assert "not found" in summit.run("bpeek", "7").stderr


def test_error_output_apart(summit: LsfCluster) -> None:
    script = summit.script("echo one; echo two >&2", *HEAD, "#BSUB -o out.%J", "#BSUB -e err.%J")
    assert summit.over(summit.bsub(script)) == ["DONE"]
    assert summit.read("out.1").endswith("follows:\n\none\n")
    assert summit.read("err.1") == "two\n"


def test_ended_waits_for_either_end_and_done_for_success(summit: LsfCluster) -> None:
    first = summit.bsub(summit.script("until [ -e go ]; do sleep 0.05; done; exit 1", *HEAD, name="first.sh"))
    after = summit.script("echo $LSB_JOBID >> order", *HEAD, name="after.sh")
    chained = summit.bsub("-w", f"ended({first})", after)
    failed = summit.bsub("-w", f"exit({first}) && !started({chained}) || exit({first})", after)
    never = summit.bsub("-w", f"done({first})", after)
    bare = summit.bsub("-w", f"{first}", after)
    assert summit.jobs(chained)[0]["PEND_REASON"] == "Job dependency condition not satisfied;"
    assert summit.read("order") == ""
    (summit.work / "go").touch()
    assert summit.over(chained) == ["DONE"]
    assert summit.over(failed) == ["DONE"]
    assert (summit.states(never), summit.states(bare)) == (["PEND"], ["PEND"])
    # What can never start keeps no process waiting.
    summit.wait(lambda: faults.dispatcher_pid(summit.folder) is None)
    assert own_processes(summit.folder) == []
    assert summit.said("bkill", str(never)) == f"Job <{never}> is being terminated\n"
    assert summit.states(never) == ["EXIT"]


def test_requeue_by_exit_code_until_another_code(summit: LsfCluster) -> None:
    body = """
echo x >> lives; n=$(wc -l < lives); echo this is life $n of $LSB_JOBID
[ $n -lt 3 ] && exit 99; exit 0"""
    job = summit.bsub(summit.script(body, *HEAD, "#BSUB -Q 99", "#BSUB -o out"))
    waiting = summit.wait(
        lambda: [
            one for one in summit.jobs(job) if one["STAT"] == "PEND" and "Requeued" in one["PEND_REASON"]
        ]
    )
    assert waiting[0]["PEND_REASON"] == "Requeued job is waiting for rescheduling;(exit code 99)"
    assert summit.over(job) == ["DONE"]
    assert summit.read("lives") == "x\n" * 3
    # The file of -o has the last life's output only, under one header.
    text = summit.wait(lambda: summit.read("out"))
    assert text.count("Sender:") == 1
    assert text.endswith("follows:\n\nthis is life 3 of 1\n")


def test_another_exit_code_does_not_requeue(summit: LsfCluster) -> None:
    job = summit.bsub("-Q", "99", summit.script("echo x >> lives; exit 98", *HEAD))
    assert summit.over(job) == ["EXIT"]
    assert summit.jobs(job)[0]["EXIT_CODE"] == "98"
    assert summit.read("lives") == "x\n"


def test_brequeue_starts_over_under_the_same_id(summit: LsfCluster) -> None:
    body = "echo x >> lives; [ $(wc -l < lives) = 2 ] && exit 0; sleep 60"
    job = summit.bsub(summit.script(body, *HEAD))
    summit.wait(lambda: summit.read("lives"))
    assert summit.said("brequeue", str(job)) == f"Job <{job}> is being requeued\n"
    assert summit.over(job) == ["DONE"]
    assert summit.read("lives") == "x\n" * 2
    again = summit.run("brequeue", str(job))
    assert (again.returncode, again.stdout) == (255, "")
    assert summit.run("brequeue", "77").stderr == "Job <77>: No matching job found\n"


def test_warning_comes_before_the_limit(make: Callable[..., LsfCluster]) -> None:
    cluster = make(minute=0.5)
    body = """
trap 'date +%s.%N > warned; exit 99' USR2
echo x >> lives; [ $(wc -l < lives) = 2 ] && exit 0
date +%s.%N > began; sleep 60 & wait"""
    script = cluster.script(body, "#BSUB -P A -nnodes 1 -W 10 -wa USR2 -wt 4 -Q 99")
    assert cluster.over(cluster.bsub(script)) == ["DONE"]
    warned = float(cluster.read("warned")) - float(cluster.read("began"))
    assert warned >= 0.5 * 6 - 0.2, "not earlier than -wt says"
    assert warned < 0.5 * 10 + 5, "and not at the limit only, slow as this machine may be"


def test_run_limit_is_usr2_and_140(make: Callable[..., LsfCluster]) -> None:
    cluster = make(minute=0.5)
    job = cluster.bsub(cluster.script("sleep 60", "#BSUB -P A -nnodes 1 -W 2 -Q 99 -o out"))
    assert cluster.over(job) == ["EXIT"]
    record = cluster.jobs(job)[0]
    assert record["EXIT_CODE"] == str(128 + signal.SIGUSR2) == "140"
    assert record["EXIT_REASON"].startswith("TERM_RUNLIMIT")
    text = cluster.wait(lambda: cluster.read("out"))
    assert "TERM_RUNLIMIT" in text


def test_who_ignores_the_limit_is_killed_ten_minutes_later(make: Callable[..., LsfCluster]) -> None:
    cluster = make(minute=0.2)
    body = "trap 'echo usr2 >> signals' USR2; echo $$ > pid; for i in {1..600}; do sleep 0.1; done"
    began = time.monotonic()
    job = cluster.bsub(cluster.script(body, "#BSUB -P A -nnodes 1 -W 5"))
    assert cluster.over(job) == ["EXIT"]
    assert time.monotonic() - began >= 0.2 * (5 + 10) - 0.1
    assert cluster.jobs(job)[0]["EXIT_CODE"] == "137"
    assert cluster.read("signals") == "usr2\n"
    assert alive([int(cluster.read("pid"))]) == []


def test_bkill_sends_int_then_term_then_kill(summit: LsfCluster) -> None:
    body = """
trap 'echo INT >> signals' INT; trap 'echo TERM >> signals' TERM
touch ready; for i in {1..600}; do sleep 0.1; done"""
    job = summit.bsub(summit.script(body, *HEAD))
    summit.wait(lambda: (summit.work / "ready").exists())
    assert summit.said("bkill", str(job)) == f"Job <{job}> is being terminated\n"
    assert summit.over(job) == ["EXIT"]
    record = summit.jobs(job)[0]
    assert (record["EXIT_CODE"], record["EXIT_REASON"]) == ("137", "TERM_OWNER: job killed by owner")
    assert summit.read("signals").split() == ["INT", "TERM"]


def test_bkill_is_130_where_nobody_objects(summit: LsfCluster) -> None:
    job = summit.bsub(summit.script("touch ready; sleep 60", *HEAD))
    summit.wait(lambda: (summit.work / "ready").exists())
    summit.said("bkill", str(job))
    assert summit.over(job) == ["EXIT"]
    assert summit.jobs(job)[0]["EXIT_CODE"] == "130"


def test_bkill_of_elements_signals_and_strangers(summit: LsfCluster) -> None:
    job = summit.bsub("-H", "-J", "a[1-4]", summit.script("true", *HEAD))
    assert lines(summit.said("bkill", f"{job}[2-3]")) == [
        f"Job <{job}[2]> is being terminated",
        f"Job <{job}[3]> is being terminated",
    ]
    assert summit.states(job) == ["PSUSP", "EXIT", "EXIT", "PSUSP"]
    assert summit.run("bkill", f"{job}[9]").stderr == f"Job <{job}[9]>: No matching job found\n"
    done = summit.run("bkill", "9999")
    assert (done.returncode, done.stderr) == (255, "Job <9999>: No matching job found\n")
    assert "already finished" in summit.run("bkill", f"{job}[2]").stderr
    assert summit.run("bkill", "0").returncode == 255, "0 would be all of a user's jobs"
    talks = summit.bsub(
        summit.script("trap 'echo urg > heard; exit 0' URG; touch up; sleep 60 & wait", *HEAD, name="t.sh")
    )
    summit.wait(lambda: (summit.work / "up").exists())
    assert summit.said("bkill", "-s", "URG", str(talks)) == f"Job <{talks}> is being signaled\n"
    assert summit.over(talks) == ["DONE"]
    assert summit.read("heard") == "urg\n"


def test_nodes_are_not_shared(make: Callable[..., LsfCluster]) -> None:
    cluster = make(nodes=3)
    body = "until [ -e go$LSB_JOBID ]; do sleep 0.05; done"
    script = cluster.script(body, "#BSUB -P A -W 1:00")
    two, other_two, one = (cluster.bsub("-nnodes", str(number), script) for number in (2, 2, 1))
    cluster.wait(lambda: cluster.states(one) == ["RUN"])
    assert (cluster.states(two), cluster.states(other_two)) == (["RUN"], ["PEND"])
    hosts = [
        host.split("*")[1]
        for record in cluster.jobs(two, one, fields="exec_host")
        for host in record["EXEC_HOST"].split(":")
    ]
    assert sorted(hosts) == ["node1", "node2", "node3"]
    (cluster.work / f"go{two}").touch()
    cluster.wait(lambda: cluster.states(other_two) == ["RUN"])
    for job in (one, other_two):
        (cluster.work / f"go{job}").touch()
    assert cluster.over(other_two) == cluster.over(one) == ["DONE"]


@pytest.mark.parametrize("rerun", [True, False])
def test_node_failure(summit: LsfCluster, rerun: bool) -> None:
    body = "echo x >> lives; [ $(wc -l < lives) = 2 ] && exit 0; setsid sleep 61 & echo $! > child; sleep 60"
    job = summit.bsub(*(["-r"] if rerun else []), summit.script(body, *HEAD))
    child = int(summit.wait(lambda: summit.read("child")))
    faults.fail_node(summit.folder, job)
    assert summit.over(job) == ["DONE" if rerun else "EXIT"]
    assert summit.read("lives") == "x\n" * (2 if rerun else 1)
    assert alive([child]) == [], "a process in a session of its own went with the node"


def test_nothing_outlives_its_job(summit: LsfCluster) -> None:
    job = summit.bsub(summit.script("sleep 61 & setsid sleep 62 & echo $! > child", *HEAD))
    assert summit.over(job) == ["DONE"]
    assert alive([int(summit.read("child"))]) == []


def test_finished_jobs_are_forgotten(make: Callable[..., LsfCluster]) -> None:
    cluster = make(clean_minutes=1.5)
    job = cluster.bsub(cluster.script("true", *HEAD))
    assert cluster.over(job) == ["DONE"]
    cluster.wait(lambda: "is not found" in cluster.run("bjobs", str(job)).stderr)
    forgotten = cluster.run("bjobs", str(job))
    assert (forgotten.returncode, forgotten.stdout) == (255, "")
    assert forgotten.stderr == f"Job <{job}> is not found\n"
    late = cluster.run("bsub", "-w", f"ended({job})", cluster.script("true", *HEAD))
    assert late.stderr == f"{job}: No matching job found. Job not submitted.\n"


def test_the_dispatcher_ends_by_itself_and_on_request(summit: LsfCluster) -> None:
    assert summit.over(summit.bsub(summit.script("true", *HEAD))) == ["DONE"]
    summit.wait(lambda: own_processes(summit.folder) == [])
    job = summit.bsub(summit.script("setsid sleep 63 & touch up; sleep 60", *HEAD))
    summit.wait(lambda: (summit.work / "up").exists())
    faults.stop(summit.folder)
    assert own_processes(summit.folder) == []
    assert summit.states(job) == ["EXIT"]


def test_a_killed_dispatcher_takes_no_job_with_it_unseen(summit: LsfCluster) -> None:
    job = summit.bsub(summit.script("echo $$ > pid; sleep 60", *HEAD))
    pid = int(summit.wait(lambda: summit.read("pid")))
    dispatcher = faults.dispatcher_pid(summit.folder)
    assert dispatcher is not None
    os.kill(dispatcher, signal.SIGKILL)
    summit.wait(lambda: alive([dispatcher]) == [])
    summit.bsub(summit.script("true", *HEAD, name="next.sh"))
    assert summit.over(job) == ["EXIT"]
    assert alive([pid]) == []


def test_a_script_that_cannot_start(summit: LsfCluster) -> None:
    job = summit.bsub(*HEAD[0].split()[1:], "-W", "5", "-nnodes", "1", "no-such-program")
    assert summit.over(job) == ["EXIT"]
    assert summit.jobs(job)[0]["EXIT_CODE"] == "127"


def test_commands_answer_at_once(summit: LsfCluster) -> None:
    summit.bsub("-H", "-J", "a[1-100]", summit.script("true", *HEAD))
    times = []
    for _ in range(5):
        before = os.times()
        summit.jobs()
        after = os.times()
        times.append(
            after.children_user - before.children_user + after.children_system - before.children_system
        )
    assert min(times) < 0.1, "CPU seconds of bjobs with a hundred elements"


def test_scripts_lie_where_nobody_else_reads(summit: LsfCluster) -> None:
    summit.bsub("-H", summit.script("true", *HEAD), extra={"SECRET": "1"})
    spool = Path(summit.folder / "jobs" / "1")
    assert spool.stat().st_mode & 0o077 == 0
