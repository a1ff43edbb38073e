"""`hlb preflight` in a job of LSF's, under jsrun: stand-ins for the commands, real ranks."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from horovod_lb.rehearsal.install import SUMMIT, environment, install

ROOT = Path(__file__).parents[2]
JOB = f"""#!/bin/bash
#BSUB -P ABC123
#BSUB -W 0:10
#BSUB -nnodes 2
#BSUB -J look
#BSUB -o out.%J
{sys.executable} -m horovod_lb.cli.main preflight --machine summit --ranks 2 --json > told.part
echo $? > status
mv told.part told.json
"""


@pytest.mark.skipif(importlib.util.find_spec("horovod") is None, reason="Horovod is not installed")
def test_ranks_of_a_job_under_jsrun(tmp_path):
    install(tmp_path / "site", SUMMIT)
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    own = {**os.environ, "PYTHONPATH": paths, "XDG_CONFIG_HOME": str(tmp_path)}
    env = environment(tmp_path / "site", own)
    (tmp_path / "look.lsf").write_text(JOB)
    sent = subprocess.run(
        ["bsub", "look.lsf"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert "is submitted" in sent.stdout, sent.stdout + sent.stderr
    deadline = time.monotonic() + 240
    while not (tmp_path / "told.json").exists():
        assert time.monotonic() < deadline, [path.name for path in tmp_path.iterdir()]
        time.sleep(0.2)
    told = json.loads((tmp_path / "told.json").read_text())
    for number, rank in enumerate(told["ranks"]):
        assert (rank["rank"], rank["local_rank"], rank["size"], rank["wrong"]) == (number, number, 2, None)
        # jsrun -a1 -g1 shows each rank one GPU.
        assert rank["variables"]["HLB_GPUS"] == "one"
        assert len(rank["variables"]["CUDA_VISIBLE_DEVICES"].split(",")) == 1
    problems = [check["seen"] for check in told["checks"] if check["state"] == "problem"]
    assert all("TensorFlow sees none" in seen for seen in problems)  # there are no GPUs here
    assert (tmp_path / "status").read_text().strip() == ("1" if problems else "0")
