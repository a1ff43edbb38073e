"""`hlb preflight` with real ranks under mpirun."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from horovod_lb.wheel import needs

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("horovod") is None, reason="Horovod is not installed: run `make setup`"
)

# A Horovod that never communicates, and a TensorFlow that one rank cannot import.
SILENT = """
import os
Sum, Average = "sum", "average"
class Compression: none = fp16 = None
def init(): pass
def rank(): return int(os.environ["OMPI_COMM_WORLD_RANK"])
def size(): return int(os.environ["OMPI_COMM_WORLD_SIZE"])
local_rank, local_size = rank, size
def allreduce(tensor, op=None, name=None): return tensor
def broadcast(tensor, root_rank, name=None): return tensor
def grouped_allreduce(tensors, op=None, name=None): return tensors
def mpi_built(): return True
def mpi_enabled(): return False
def gloo_built(): return False
def nccl_built(): return 0
"""
LAME = """
import os
if os.environ["OMPI_COMM_WORLD_RANK"] == "1":
    raise ImportError("libcudart.so.12: cannot open shared object file")
import time
time.sleep(300)
"""


@pytest.fixture
def preflight(tmp_path):
    def run(*arguments, shadow=(), **variables):
        folder = tmp_path / "shadow"
        for name, text in dict(shadow).items():
            (folder / name).mkdir(parents=True)
            (folder / name / "__init__.py").write_text(text)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "LSB_"))}
        environment = {
            **kept,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), str(folder), kept.get("PYTHONPATH")])),
            "XDG_CONFIG_HOME": str(tmp_path),
            **variables,
        }
        command = [sys.executable, "-m", "horovod_lb.cli.main", "preflight", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=280
        )

    return run


def test_two_ranks_of_this_machine(preflight):
    done = preflight("--machine", "local", "--ranks", "2", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert [rank["rank"] for rank in found["ranks"]] == [0, 1]
    for rank in found["ranks"]:
        assert rank["stages"] == ["start", "versions", "world", "allreduce"]
        assert rank["size"] == 2
        assert rank["wrong"] is None
        assert set(rank["cores"]) == os.sched_getaffinity(0)
        # 64 times as much takes longer, and nothing is faster than memory (1 TB/s).
        assert 1e6 / 1e12 < rank["seconds"]["1"] < rank["seconds"]["64"] < 60
    installed = {rank["TensorFlow"] for rank in found["ranks"]}
    # The CPU package and the one with CUDA are the same program.
    packages = needs.installed()
    assert installed == {(packages.get("tensorflow") or packages["tensorflow-cpu"]).version}
    assert {check["state"] for check in found["checks"]} <= {"ok", "warning"}


def test_a_rank_that_cannot_import_tensorflow(preflight):
    done = preflight("--machine", "local", "--ranks", "2", "--timeout", "60", shadow={"tensorflow": LAME})
    assert done.returncode == 1
    assert "rank 1 on" in done.stdout
    assert "importing TensorFlow, Keras, Horovod and MPI: ImportError: libcudart.so.12" in done.stdout


def test_a_rank_that_hangs_is_not_waited_for(preflight):
    hang = "import time\ntime.sleep(300)\n"
    done = preflight("--machine", "local", "--ranks", "1", "--timeout", "5", shadow={"tensorflow": hang})
    assert done.returncode == 1
    assert "silent for 5 s while importing TensorFlow" in done.stdout


def test_sums_are_compared_with_their_closed_form(preflight):
    shadow = {"horovod": "__version__ = '0'", "horovod/tensorflow": SILENT}
    done = preflight("--machine", "local", "--ranks", "2", "--json", shadow=shadow)
    assert done.returncode == 1
    said = " ".join(
        check["seen"] for check in json.loads(done.stdout)["checks"] if check["check"] == "all-reduce"
    )
    # Each rank gets its own values back: 0, 1, ... on rank 0, and 0 + 1, 1 + 2, ... are expected.
    assert (
        "sum of float32 over 2 ranks is [0.0, 1.0, 2.0, 3.0, 4.0], expected [1.0, 3.0, 5.0, 7.0, 9.0]" in said
    )


def test_outside_of_an_allocation(preflight):
    done = preflight("--machine", "slurm-6gpu")
    assert done.returncode == 2
    assert "`salloc --nodes=2" in done.stderr
    assert preflight().returncode == 2


def test_jsrun_is_not_started_with_tmpdir(preflight, tmp_path):
    (tmp_path / "hosts").write_text("n1\n")
    done = preflight("--machine", "summit", "--hosts", "hosts", TMPDIR="/tmp")
    assert done.returncode == 1
    assert "unset TMPDIR" in done.stdout
