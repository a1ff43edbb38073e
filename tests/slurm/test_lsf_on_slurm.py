"""The LSF stand-ins hand their jobs to a real Slurm, which places, kills and times them out."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from alongside import alongside
from slurm_configuration import CORES, GPUS
from slurm_study import ENVIRONMENT, Study

from horovod_lb.rehearsal import faults
from horovod_lb.rehearsal.install import SUMMIT, install

# Slurm looks after time limits about every half minute.
PATIENCE = 240.0
HEAD = "#!/bin/bash\n#BSUB -P ABC123 -nnodes 2 -o out.%J\n"
RANKS = "jsrun -n12 -r6 -a1 -g1 -c2 -bpacked:2 -dpacked"
SHOW = "sh -c 'echo rank $JSM_NAMESPACE_RANK of $JSM_NAMESPACE_SIZE at $(hostname) gpu $CUDA_VISIBLE_DEVICES'"


class Login:
    """LSF's commands on the login node of the Slurm cluster."""

    def __init__(self, study: Study) -> None:
        self.study, self.work = study, study.folder
        self.site = study.folder / "lsf"
        site = replace(SUMMIT, cores=CORES, gpus=GPUS, backend="slurm", ranks=2)
        self.commands = install(self.site, site)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of LSF's."""
        environment = {**self.study.cluster.environment(), **ENVIRONMENT}
        environment["PATH"] = f"{self.commands}{os.pathsep}{environment['PATH']}"
        del environment["TMPDIR"]  # jsrun cannot live with it
        command = self.study.cluster.login.enter(*words, cwd=self.work)
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )

    def bsub(self, name: str, wall: int, body: str) -> str:
        """Submits a script; returns the id."""
        (self.work / name).write_text(f"{HEAD}#BSUB -W {wall}\n{body}\n")
        done = self.run("bsub", "-Q", "99", name)
        assert done.returncode == 0, done.stderr
        return done.stdout.split("<")[1].split(">")[0]

    def job(self, job: str) -> dict[str, str]:
        """What bjobs says."""
        done = self.run("bjobs", "-o", "stat exit_code exit_reason", "-json", job)
        return dict(json.loads(done.stdout)["RECORDS"][0])

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        """Until it is true."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"{what}: {(self.site / 'dispatcher.log').read_text()}"
            time.sleep(0.5)


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@alongside
def test_lsf_jobs_on_a_real_slurm(study: Study) -> None:
    study.folder.mkdir(parents=True, exist_ok=True)
    login = Login(study)
    try:
        late = login.bsub("late.sh", 1, "trap 'touch warned' USR2; touch late; sleep 600 & wait; wait")
        lives = f"{RANKS} {SHOW}; uniq $LSB_DJOB_HOSTFILE > hosts; echo x >> lives; "
        again = login.bsub("again.sh", 10, f"{lives}[ $(wc -l < lives) = 2 ] || exit 99")
        login.wait(lambda: login.job(again)["STAT"] == "DONE", "requeued by its exit code, and done")
        assert read(login.work / "lives") == "x\n" * 2
        hosts = read(login.work / "hosts").split()
        assert hosts[0] == "batch1"
        assert len(hosts) == 3 and set(hosts[1:]) <= set(study.cluster.nodes)
        said = read(login.work / f"out.{again}").partition("follows:\n\n")[2]
        ranks = sorted(line for line in said.splitlines() if line.startswith("rank"))
        assert ranks == [f"rank {rank} of 2 at {hosts[1 + rank]} gpu 0" for rank in range(2)]

        gone = login.bsub("gone.sh", 10, f"{RANKS} sh -c 'touch up; sleep 600'")
        login.wait(lambda: (login.work / "up").exists(), "ranks of the third job")
        assert "is being terminated" in login.run("bkill", gone).stdout
        login.wait(lambda: login.job(gone)["STAT"] == "EXIT", "killed")
        assert login.job(gone)["EXIT_REASON"].startswith("TERM_OWNER")

        login.wait(lambda: login.job(late)["STAT"] == "EXIT", "at its limit")
        assert login.job(late)["EXIT_REASON"].startswith("TERM_RUNLIMIT")
        assert (login.work / "late").exists()
    finally:
        faults.stop(login.site)
