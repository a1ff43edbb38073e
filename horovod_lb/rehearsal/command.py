"""Runs one stand-in: `python -E -S command.py NAME ARGUMENT...`, with nothing but the standard library."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

MODULES = {
    **{
        name: f"horovod_lb.rehearsal.lsf.{name}"
        for name in ("bsub", "bjobs", "bkill", "brequeue", "bpeek", "jsrun")
    },
    **{
        name: f"horovod_lb.rehearsal.slurm.{name}"
        for name in ("sbatch", "squeue", "sacct", "scancel", "scontrol", "srun")
    },
    "lsf-on-slurm": "horovod_lb.rehearsal.lsf.on_slurm",
    "mpirun": "horovod_lb.rehearsal.mpirun",
    "dispatcher": "horovod_lb.rehearsal.dispatcher",
}  # fmt: skip


def main() -> int:
    """Calls `main(arguments)` of the module that goes by the name."""
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    name, *arguments = sys.argv[1:]
    module = importlib.import_module(MODULES[name])
    try:
        return int(module.main(arguments))
    except BrokenPipeError:
        return 141
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
