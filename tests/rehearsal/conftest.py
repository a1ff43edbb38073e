"""Clusters with Slurm's commands, played on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stand_ins import Cluster

from horovod_lb.rehearsal.site import Queue, Site

# 16 nodes of 8 GPUs; up to 4 nodes two hours, beyond six.
SITE: dict[str, Any] = {
    "system": "slurm",
    "name": "played",
    "nodes": 16,
    "cores": 56,
    "gpus": 8,
    "queues": {"batch": Queue("batch", ((1, 4, 120), (5, 16, 360))), "debug": Queue("debug")},
    "array_size": 100,
    "queued": 50,
    "account_required": True,
    "minute": 1.0,
}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Makes clusters, with changes; a minute lasts a second."""
    made: list[Cluster] = []

    def one(**changes: Any) -> Cluster:
        folder = tmp_path / f"cluster{len(made)}"
        folder.mkdir()
        made.append(Cluster(folder, Site(**{**SITE, **changes})))
        return made[-1]

    yield one
    for cluster in made:
        cluster.end()


@pytest.fixture
def slurm(make: Callable[..., Cluster]) -> Cluster:
    """A cluster."""
    return make()
