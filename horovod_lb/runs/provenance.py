"""Where a result comes from: the code's state, the batch job, and an allow-list of the environment."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Documentation, and study files: what a run takes from its study stands in its run.json.
NO_CODE = (".md", ".rst", ".yaml", ".yml")
_BLOCK = re.compile(rb"^diff --git ", re.MULTILINE)
_MOST_FILES = 100


def source_state(folder: Path | None = None) -> dict[str, Any] | None:
    """`{commit, dirty}` of the git repository around `folder` (default: the working directory).

    `dirty`: tracked files were changed since the commit; then also `changes_sha256` and `changed_files`, see
    `code_changes`. None outside a repository, or without git.
    """
    folder = folder or Path.cwd()
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    state: dict[str, Any] = {"commit": commit.strip(), "dirty": bool(changed)}
    if changed:
        digest, files = code_changes(source_diff(folder, limit=sys.maxsize) or b"")
        state |= {"changes_sha256": digest, "changed_files": list(files[:_MOST_FILES])}
    return state


def source_diff(folder: Path | None = None, limit: int = 10_000_000) -> bytes | None:
    """What was changed in tracked files since the commit, as `git diff` prints it, cut after `limit` bytes.

    None where nothing was changed, outside a repository, or without git.
    """
    text = _git(folder or Path.cwd(), "diff", "--no-color", "--no-ext-diff", "--no-textconv", "HEAD")
    if not text:
        return None
    data = text.encode(errors="surrogateescape")
    return data if len(data) <= limit else data[:limit] + b"\n[cut]\n"


def code_changes(diff: bytes) -> tuple[str | None, tuple[str, ...]]:
    """SHA-256 and files of the part of a `git diff` that is code; None where no part is.

    A file is no code where its old and its new name end in one of `NO_CODE`.
    """
    digest, files = hashlib.sha256(), []
    for block in _BLOCK.split(diff)[1:]:
        names = block.split(b"\n", 1)[0].decode(errors="replace")
        old, _, new = names.replace('"', "").partition(" b/")
        if not old.endswith(NO_CODE) or not new.endswith(NO_CODE):
            digest.update(block)
            files.append(new or names)
    return (digest.hexdigest(), tuple(files)) if files else (None, ())


# What decides how a run is computed. No pattern may match a variable that holds a secret; see `_SECRET`.
ALLOWED = (
    *("HLB_*", "HOROVOD_*", "NCCL_*", "OMPI_MCA_*", "PRTE_MCA_*", "PMIX_MCA_*", "UCX_*", "MPICH_*", "PAMI_*"),
    *("OMP_*", "KMP_*", "MKL_*", "XLA_FLAGS", "KERAS_BACKEND", "CUDA_*", "ROCR_*", "HIP_*"),
    *("TF_NUM_*", "TF_XLA_*", "TF_GPU_*", "TF_CUDNN_*", "TF_ENABLE_*", "TF_FORCE_*", "TF_DETERMINISTIC_*"),
    *("SLURM_JOB_ID", "SLURM_JOB_N*", "SLURM_JOB_PARTITION", "SLURM_JOB_ACCOUNT", "SLURM_JOB_QOS"),
    *("SLURM_JOB_CPUS_PER_NODE", "SLURM_JOB_GPUS", "SLURM_ARRAY_*", "SLURM_STEP_ID", "SLURM_STEP_N*"),
    *("SLURM_NTASKS*", "SLURM_NNODES", "SLURM_CPUS_*", "SLURM_GPUS_*", "SLURM_RESTART_COUNT"),
    *("SLURM_CLUSTER_NAME", "SLURM_MPI_TYPE", "LSB_JOBID", "LSB_JOBINDEX", "LSB_JOBNAME", "LSB_QUEUE"),
    *("LSB_HOSTS", "LSB_MCPU_HOSTS", "LSB_SUB_HOST", "LSB_DJOB_NUMPROC", "JSM_*", "LOADEDMODULES"),
    *("CONDA_DEFAULT_ENV", "VIRTUAL_ENV"),
)
_CREDENTIALS = re.compile(r"://[^/\s@]+:[^/\s@]*@")  # https://user:password@host
_SECRET = re.compile(r"TOKEN|SECRET|PASS|CRED|AUTH|COOKIE|KEY(?!WORD)|PRIVATE|SIGNATURE", re.IGNORECASE)


def environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables on the allow-list `ALLOWED`, by name, less what is named like a secret or holds one."""
    environ = os.environ if environ is None else environ
    return {
        name: environ[name]
        for name in sorted(environ)
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in ALLOWED)
        and not _SECRET.search(name)
        and not _CREDENTIALS.search(environ[name])
    }


def batch_job(environ: Mapping[str, str] | None = None) -> dict[str, Any] | None:
    """What is known of the batch job that this process belongs to; None outside of one.

    `{scheduler, job, machine, script, restarts, modules, stage_seconds}`, None for what is not known.
    """
    environ = os.environ if environ is None else environ
    scheduler, colon, job = environ.get("HLB_JOB", "").partition(":")
    if not colon:
        return None
    staged = environ.get("HLB_STAGE_SECONDS")
    return {
        "scheduler": scheduler,
        "job": job,
        "machine": environ.get("HLB_MACHINE"),
        "script": environ.get("HLB_JOB_SCRIPT"),
        "restarts": int(environ.get("SLURM_RESTART_COUNT") or 0) if scheduler == "slurm" else None,
        "modules": [name for name in environ.get("LOADEDMODULES", "").split(":") if name],
        "stage_seconds": float(staged) if staged else None,
    }


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",  # a diff may hold any bytes
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
