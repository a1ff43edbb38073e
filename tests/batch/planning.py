"""Machines and runs as the tests of planning need them."""

from __future__ import annotations

from typing import Any

from horovod_lb.machines import Machine

BINS = [{"nodes": [1, 4], "limit": "2:00"}, {"nodes": [5, 16], "limit": "6:00"}]


def machine(**changes: Any) -> Machine:
    """A Slurm machine of 16 nodes with 6 ranks each, two wall-time bins, that requeues."""
    values: dict[str, Any] = {
        "name": "site",
        "scheduler": "slurm",
        "launcher": "srun",
        "nodes": 16,
        "gpus_per_node": 6,
        "cores_per_node": 12,
        "walltimes": BINS,
        **changes,
    }
    return Machine.model_validate(values)


def spec(
    run_id: str = "r0",
    *,
    workers: int = 6,
    groups: int | None = None,
    walltime: str | None = None,
    allreduce: str = "ring",
    steps: int = 100,
    batch_size: int = 1200,
    model: str = "lenet5",
) -> dict[str, Any]:
    """The part of a `run.json` that planning looks at."""
    return {
        "schema": 1,
        "run_id": run_id,
        "study": "study",
        "point": {},
        "seed": 0,
        "model": {"name": model},
        "data": {"name": "digits", "root": None},
        "resources": {"workers": workers, "walltime": walltime},
        "recipe": {"communication": {"allreduce": allreduce}, "precision": "float32"},
        "derived": {"groups": groups or workers, "steps": steps, "batch_size": batch_size},
    }


def specs(count: int, **values: Any) -> list[dict[str, Any]]:
    return [spec(f"r{number:05}", **values) for number in range(count)]
