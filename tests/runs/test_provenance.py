from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from horovod_lb.runs.provenance import batch_job, environment, source_diff, source_state


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "job.py").write_text("a = 1\n\nb = 2\n \n")
    (folder / "latin").write_bytes(b"caf\xe9\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=n", "-c", "user.email=e@x", "commit", "-qm", "first")
    return folder


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)
    return done.stdout.decode(errors="replace").strip()


def test_an_unchanged_tree_has_a_commit_and_no_diff(repository: Path) -> None:
    assert source_state(repository) == {"commit": git(repository, "rev-parse", "HEAD"), "dirty": False}
    assert source_diff(repository) is None


def test_the_diff_makes_the_changed_tree_of_a_clean_one(repository: Path, tmp_path: Path) -> None:
    changed = {"job.py": b"a = 1\n\nb = 3\n \n", "latin": b"caf\xe9s\n"}
    for name, data in changed.items():
        (repository / name).write_bytes(data)
    diff = source_diff(repository)
    assert diff is not None
    assert source_state(repository)["dirty"] is True
    git(repository, "checkout", "-q", ".")
    (tmp_path / "source.diff").write_bytes(diff)
    git(repository, "apply", str(tmp_path / "source.diff"))
    assert {name: (repository / name).read_bytes() for name in changed} == changed


def test_a_huge_diff_is_cut(repository: Path) -> None:
    (repository / "job.py").write_text("x = 1\n" * 1000)
    diff = source_diff(repository, limit=100)
    assert diff is not None
    assert len(diff) < 120
    assert diff.endswith(b"[cut]\n")


def test_outside_a_repository_nothing_is_known(tmp_path: Path) -> None:
    assert source_state(tmp_path) is None
    assert source_diff(tmp_path) is None


SECRETS = (
    "HLB_TOKEN", "HOROVOD_SECRET_KEY", "TF_API_KEY", "SLURM_JOB_PASSWORD", "NCCL_AUTH", "HLB_COOKIE",
    "OMPI_MCA_credential", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "GITHUB_TOKEN",
    "HOME", "SSH_AUTH_SOCK", "HOROVOD_PRIVATE",
)  # fmt: skip


def test_the_environment_keeps_what_decides_the_computation_and_no_secret() -> None:
    wanted = {"OMP_NUM_THREADS": "7", "NCCL_ALGO": "Ring", "SLURM_JOB_ID": "5", "CUDA_VISIBLE_DEVICES": "0,1"}
    assert environment({**wanted, **dict.fromkeys(SECRETS, "hunter2")}) == wanted
    address = {"HLB_DATA": "https://me:hunter2@host/data", "HLB_RUNS": "https://host:80/me@runs"}
    assert environment({**wanted, **address}) == {**wanted, "HLB_RUNS": address["HLB_RUNS"]}


def test_a_batch_job_is_described_from_what_its_script_said() -> None:
    assert batch_job({}) is None
    said = batch_job(
        {
            "HLB_JOB": "slurm:12_3",
            "HLB_MACHINE": "frontier",
            "HLB_JOB_SCRIPT": "/x/1.sh",
            "HLB_STAGE_SECONDS": "41",
            "LOADEDMODULES": "gcc/12:rocm/6",
            "SLURM_RESTART_COUNT": "2",
        }
    )
    assert said == {
        "scheduler": "slurm",
        "job": "12_3",
        "machine": "frontier",
        "script": "/x/1.sh",
        "restarts": 2,
        "modules": ["gcc/12", "rocm/6"],
        "stage_seconds": 41.0,
    }
    assert batch_job({"HLB_JOB": "lsf:7"})["restarts"] is None
