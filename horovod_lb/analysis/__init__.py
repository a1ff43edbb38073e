"""Run folders -> tables -> statistics -> figures -> report. Imports no TensorFlow, and matplotlib only to
draw.
"""

from __future__ import annotations

from horovod_lb.analysis.frames import results_from_frames, results_from_tables
from horovod_lb.analysis.results import Results, collect
from horovod_lb.analysis.statistics import Summary, summarize
from horovod_lb.analysis.table import Table

__all__ = [
    "Results",
    "Summary",
    "Table",
    "collect",
    "results_from_frames",
    "results_from_tables",
    "summarize",
]
