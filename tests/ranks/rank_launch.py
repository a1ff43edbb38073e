"""mpirun of this environment, on this machine's cores."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from rank_checks import HERE

from horovod_lb.schedulers.children import own_session_directory
from horovod_lb.schedulers.launchers import Launch, find_mpirun, mpirun

CORES = len(os.sched_getaffinity(0))


def launch(ranks: int, command: Sequence[str], **options: Any) -> Launch:
    """mpirun of this environment, with this machine's cores shared by the ranks."""
    return mpirun(
        ranks,
        [sys.executable, *command],
        threads=max(1, CORES // ranks),
        program=find_mpirun(),
        as_root=os.geteuid() == 0,
        **options,
    )


def environment(launch: Launch) -> dict[str, str]:
    root = str(HERE.parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUNBUFFERED": "1", "PYTHONPATH": path}
    return {**own_session_directory(), **os.environ, **quiet, **launch.environment}
