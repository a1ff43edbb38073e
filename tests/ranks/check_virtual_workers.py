"""A recipe of twelve workers on the ranks at hand: batch norm, dropout and augmentation together."""

from __future__ import annotations

from typing import Any

import numpy as np
from points import distance, normalized, spec
from rank_checks import Here, ranks

from horovod_lb.data import load
from horovod_lb.data.own import from_arrays
from horovod_lb.runs import RunDirectory
from horovod_lb.training.worker import execute


def trained(here: Here, name: str, *, augment: str = "standard", dropout: float = 0.3) -> list[np.ndarray]:
    """The weights and moving statistics after two epochs of the digits, 12 groups of 10."""
    digits = load({"name": "digits"})
    x, y = digits.train.take(np.arange(len(digits.train)))
    sizes = {"examples": len(y), "val_examples": len(digits.val), "classes": 10, "scale": digits.info.scale}
    point = {**spec(name), "data": {"name": "custom", "root": None, "holdout": 0, **sizes}}
    directory = RunDirectory(here.out / name)
    if here.rank == 0:
        directory.create(point)
    here.comm.barrier()
    models: list[Any] = []

    def main(run: Any) -> None:
        models.append(normalized(dropout))
        val = digits.val.take(np.arange(len(digits.val)))
        data = from_arrays((x, y), val, classes=10, scale=digits.info.scale, augment=augment)
        run.fit(models[-1], data=data)

    assert execute(directory.path, main) == "completed"
    return [np.array(v) for v in models[0].variables if np.asarray(v).dtype.kind == "f"]


@ranks(1, 2, 3)
def check_everything_at_once(here: Here) -> None:
    values = trained(here, "virtual")
    here.identical(*values)
    if here.rank == 0:
        np.savez(here.out / "virtual.npz", *values)
    if here.size == 1:
        assert distance(trained(here, "virtual-plain", augment="none"), values) > 0.01
        assert distance(trained(here, "virtual-kept", dropout=0.0), values) > 0.01
