"""A stand-in for Slurm's commands that keeps a job table and can misbehave: `standin_slurm.py sbatch ...`.

`$STANDIN` is its folder: `table.json` with the jobs, `faults.json` with what goes wrong:
  delay_before, delay_after   seconds before and after a job is written to the table
  kill_before, kill_after     at which submission (counted from 1) the sender is killed, before or after that
  reject                      at which submission sbatch refuses
  silent                      squeue cannot reach the controller
It tests who submits, so it knows only the options that matter for that. Standard library only, for its speed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ["STANDIN"])


def read(name, default):
    path = FOLDER / name
    return json.loads(path.read_text()) if path.exists() else default


def faults():
    return read("faults.json", {})


@contextlib.contextmanager
def table():
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        jobs = read("table.json", [])
        yield jobs
        new = FOLDER / "table.new"
        new.write_text(json.dumps(jobs))
        new.replace(FOLDER / "table.json")


def option(arguments, name):
    found = [word.partition("=")[2] for word in arguments if word.startswith(f"--{name}=")]
    return found[-1] if found else None


def sbatch(arguments):
    wrong = faults()
    with table() as jobs:
        number = len(jobs) + 1
    if wrong.get("reject") == number:
        sys.exit(
            "sbatch: error: Batch job submission failed: Invalid account or account/partition combination"
        )
    if wrong.get("kill_before") == number:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(5)
    time.sleep(wrong.get("delay_before", 0))
    with table() as jobs:
        job = {
            "id": 1000 + len(jobs) + 1,
            "name": option(arguments, "job-name"),
            "array": option(arguments, "array"),
            "dependency": option(arguments, "dependency"),
            "script": arguments[-1],
            "state": "PENDING",
        }
        jobs.append(job)
    if wrong.get("kill_after") == number:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(5)
    time.sleep(wrong.get("delay_after", 0))
    print(job["id"])


def elements(job):
    if job["array"] is None:
        return [str(job["id"])]
    first, _, last = job["array"].partition("%")[0].partition("-")
    return [f"{job['id']}_{index}" for index in range(int(first), int(last or first) + 1)]


def squeue(arguments):
    if faults().get("silent"):
        sys.exit("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    ids, names = option(arguments, "jobs"), option(arguments, "name")
    with table() as jobs:
        for job in jobs:
            if ids and str(job["id"]) not in ids.split(","):
                continue
            if names and job["name"] not in names.split(","):
                continue
            if "--me" in arguments and job["state"] not in ("PENDING", "RUNNING"):
                continue
            for element in elements(job):
                if option(arguments, "format") == "%i":
                    print(element)
                else:
                    print(f"{element}|{job['state']}|None|1:00:00||{job['name']}")


def sacct(arguments):
    sys.exit("Slurm accounting storage is disabled")


if __name__ == "__main__":
    {"sbatch": sbatch, "squeue": squeue, "sacct": sacct}[sys.argv[1]](sys.argv[2:])
