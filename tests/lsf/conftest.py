"""Clusters with LSF's commands, played on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "rehearsal"))

from stand_ins import LsfCluster

from horovod_lb.rehearsal.install import SUMMIT


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., LsfCluster]]:
    """Makes clusters like Summit, with changes; a minute lasts a second."""
    made: list[LsfCluster] = []

    def one(**changes: Any) -> LsfCluster:
        folder = tmp_path / f"cluster{len(made)}"
        folder.mkdir()
        made.append(LsfCluster(folder, replace(SUMMIT, **{"minute": 1.0, **changes})))
        return made[-1]

    yield one
    for cluster in made:
        cluster.end()


@pytest.fixture
def summit(make: Callable[..., LsfCluster]) -> LsfCluster:
    """Summit."""
    return make()
