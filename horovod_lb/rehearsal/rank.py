"""Becomes one rank: `rank.py ABOUT PROGRAM ARGUMENT...` under a real `mpirun` or `srun`.

Gives the scheduler's variables back, adds those with which its launcher tells a rank what it is, and replaces
itself by the program.
"""

from __future__ import annotations

import json
import os
import sys

_KEPT = "HLB_KEPT_"
_OURS = ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE")
_SRUN = ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS")


def variables(kind: str, rank: int, local: int, size: int, per_host: int) -> dict[str, str]:
    """What a launcher of this kind says to a rank, which is `local` on its node of `per_host` ranks."""
    if kind == "jsm":
        return {
            "JSM_NAMESPACE_RANK": str(rank),
            "JSM_NAMESPACE_LOCAL_RANK": str(local),
            "JSM_NAMESPACE_SIZE": str(size),
            "JSM_NAMESPACE_LOCAL_SIZE": str(min(size, per_host)),
        }
    if kind == "slurm":
        return {
            "SLURM_PROCID": str(rank),
            "SLURM_LOCALID": str(local),
            "SLURM_NTASKS": str(size),
            "SLURM_NODEID": str(rank // per_host),
        }
    return {}


def main() -> None:
    """Never returns."""
    about = json.loads(sys.argv[1])
    command = sys.argv[2:]
    names = _OURS if _OURS[0] in os.environ else _SRUN
    rank, local, size = (int(os.environ[name]) for name in names)
    for name in [name for name in os.environ if name.startswith(_KEPT)]:
        os.environ[name[len(_KEPT) :]] = os.environ.pop(name)
    local %= about["per_host"]
    os.environ.update(variables(about["kind"], rank, local, size, about["per_host"]))
    if about["visible"]:
        os.environ["CUDA_VISIBLE_DEVICES"] = about["visible"][local % len(about["visible"])]
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
