"""What runs must have in common to share a script, and how many nodes they take."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from horovod_lb.errors import RequestError
from horovod_lb.machines import Machine
from horovod_lb.recipe.normalization import sharing

Spec = Mapping[str, Any]


@dataclass(frozen=True)
class Options:
    """What `hlb submit` and `hlb render` are asked for.

    workers: ranks of every run instead of `resources.workers`; ranks: the same for single runs, by id.
    walltime: minutes of every job. pack: runs a job, or an element of its array, works through.
    side_by_side: launcher steps at a time (None: as many as the nodes of one run hold). throttle: elements of
    an array at a time (None: the machine's limit). retry: failed runs, too. max_failures: no new run begins
    after so many failures. budget: node-hours. environment: further variables for the ranks.
    """

    workers: int | None = None
    ranks: Mapping[str, int] = field(default_factory=dict)
    walltime: int | None = None
    pack: int = 1
    side_by_side: int | None = None
    throttle: int | None = None
    retry: bool = False
    max_failures: int | None = None
    budget: float | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Shape:
    """Runs of one shape share scripts: ranks, all-reduce algorithm, `resources.walltime`, data to stage."""

    ranks: int
    allreduce: str
    walltime: str | None
    stage_from: Path | None


def shapes(specs: Sequence[Spec], machine: Machine, options: Options) -> dict[Shape, list[Spec]]:
    """Runs by shape, in the order of their first runs. RequestError: `workers` does not divide the groups."""
    found: dict[Shape, list[Spec]] = {}
    for spec in specs:
        shape = Shape(
            ranks=ranks_of(spec, options),
            allreduce=spec["recipe"]["communication"]["allreduce"],
            walltime=spec["resources"].get("walltime"),
            stage_from=data_folder(spec) if machine.storage.stage_in else None,
        )
        found.setdefault(shape, []).append(spec)
    return found


def ranks_of(spec: Spec, options: Options) -> int:
    """Ranks of a run, which are its GPUs. RequestError: `options.workers` cannot share its groups."""
    if options.workers is None:
        return options.ranks.get(spec["run_id"]) or int(spec["resources"]["workers"])
    groups = int(spec["derived"]["groups"])
    possible = sharing(spec["model"], groups)
    if options.workers not in possible:
        raise RequestError(
            f"--workers {options.workers}: the {groups} groups of run {spec['run_id']} cannot be dealt to "
            f"{options.workers} ranks; these numbers would do: {', '.join(map(str, possible))}"
        )
    return options.workers


def data_folder(spec: Spec) -> Path | None:
    """The folder of the run's data set, absolute; None where it has none."""
    root = spec["data"].get("root") or os.environ.get("HLB_DATA")
    return Path(root).absolute() if root else None


def side_by_side(ranks: int, machine: Machine, options: Options) -> int:
    """Launcher steps at a time in one allocation: as many as the nodes of one run hold, or as asked for."""
    return min(options.pack, options.side_by_side or steps_a_node(ranks, machine))


def steps_a_node(ranks: int, machine: Machine) -> int:
    """Runs of so many ranks that one node holds; 1 for those that take a node or more."""
    return max(1, machine.ranks_per_node // ranks)


def nodes_of(ranks: int, steps: int, machine: Machine) -> int:
    """Whole nodes for `steps` runs of `ranks` ranks at a time; a run that fits on a node is not divided."""
    if ranks < machine.ranks_per_node:
        return -(-steps // steps_a_node(ranks, machine))
    return steps * machine.nodes_for(ranks)
