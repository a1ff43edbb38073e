"""The run directory: every file name, atomic writes, states, lives, and `RunLogger` for other scripts."""

from __future__ import annotations

from horovod_lb.runs.claims import Claims
from horovod_lb.runs.directory import RunDirectory, RunTakenError
from horovod_lb.runs.log import error_line, last_error_line, log_to, rank_log
from horovod_lb.runs.logger import RunLogger
from horovod_lb.runs.places import run_directories, runs_root
from horovod_lb.runs.state import State
from horovod_lb.runs.writer import Life

__all__ = [
    "Claims",
    "Life",
    "RunDirectory",
    "RunLogger",
    "RunTakenError",
    "State",
    "error_line",
    "last_error_line",
    "log_to",
    "rank_log",
    "run_directories",
    "runs_root",
]
