"""From a study file to its runs: validation with exact errors, expansion, ids. No TensorFlow."""

from __future__ import annotations

from horovod_lb.study.expand import RunSpec, axis_value, baseline_runs, expand, select
from horovod_lb.study.load import Study, load_study

__all__ = ["RunSpec", "Study", "axis_value", "baseline_runs", "expand", "load_study", "select"]
