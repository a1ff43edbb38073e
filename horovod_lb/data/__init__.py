"""Data sets, the global order of their examples, and its partition over groups and ranks.

`describe` answers what planning needs and imports no NumPy; `order` and `partition` are modules of their own.
"""

from __future__ import annotations

from horovod_lb.data.catalog import describe, load, require
from horovod_lb.data.dataset import AS_STORED, Arrays, DataInfo, DataSet, Examples, Normalization

__all__ = [
    "AS_STORED",
    "Arrays",
    "DataInfo",
    "DataSet",
    "Examples",
    "Normalization",
    "describe",
    "load",
    "require",
]
