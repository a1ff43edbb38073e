"""Batch systems and launchers as pure functions: commands, their answers, host lists, job scripts."""

from __future__ import annotations

from horovod_lb.errors import RequestError
from horovod_lb.schedulers.lsf import Lsf
from horovod_lb.schedulers.slurm import Slurm
from horovod_lb.schedulers.types import Scheduler

_SCHEDULERS: dict[str, Scheduler] = {"slurm": Slurm(), "lsf": Lsf()}


def scheduler(name: str) -> Scheduler:
    """The batch system `name`, `slurm` or `lsf`. RequestError: there is none of this name."""
    if name not in _SCHEDULERS:
        raise RequestError(
            f"there is no scheduler {name!r}, only {' and '.join(_SCHEDULERS)}: jobs are sent on machines "
            "that have one; `hlb run` works through a study on this machine"
        )
    return _SCHEDULERS[name]


__all__ = ["Scheduler", "scheduler"]
