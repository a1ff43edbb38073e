"""From a study file to its runs: validation with exact errors, expansion, ids. No TensorFlow."""

from __future__ import annotations

from horovod_lb.study.expand import RunSpec, expand, select
from horovod_lb.study.load import Study, load_study

__all__ = ["RunSpec", "Study", "expand", "load_study", "select"]
