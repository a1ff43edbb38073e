"""Data sets, the global order of their examples, and its partition over groups and ranks.

`describe` answers what planning needs and imports no NumPy; `order` and `partition` are modules of their own.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from horovod_lb.data.catalog import describe, load, prepare_reading, require
from horovod_lb.data.dataset import AS_STORED, Arrays, DataInfo, DataSet, Examples, Normalization

if TYPE_CHECKING:
    from horovod_lb.data.augment import Augmented as Augmented
    from horovod_lb.data.own import from_arrays as from_arrays
    from horovod_lb.data.own import from_tf_data as from_tf_data
    from horovod_lb.data.synthetic import Synthetic as Synthetic

_ON_FIRST_USE = {
    "Augmented": "augment",
    "Synthetic": "synthetic",
    "from_arrays": "own",
    "from_tf_data": "own",
}

__all__ = [
    "AS_STORED",
    "Arrays",
    "DataInfo",
    "DataSet",
    "Examples",
    "Normalization",
    "describe",
    "load",
    "prepare_reading",
    "require",
    *_ON_FIRST_USE,
]


def __getattr__(name: str) -> Any:
    if name in _ON_FIRST_USE:
        return getattr(importlib.import_module(f"{__name__}.{_ON_FIRST_USE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
