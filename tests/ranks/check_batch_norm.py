"""The words for batch norm through the whole training loop, against plain layers in one process."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from points import Alone, AloneByGroups, distance, mlp, normalized, spec
from rank_checks import Here, ranks

from horovod_lb.errors import RecipeError
from horovod_lb.layers import Alone as NoPeers
from horovod_lb.layers import GhostBatchNormalization, SyncBatchNormalization
from horovod_lb.runs import RunDirectory

# 1440 - 33 examples in batches of 156 leave 3: unequal parts, on 4 ranks an empty one; 1440 - 35 leave one.
WEIGHTED = {"remainder": "weighted", "batch_size": 156}


def _point(name: str, words: dict[str, Any], **recipe: Any) -> dict[str, Any]:
    point = spec(f"norm-{name}", **{"epochs": 1, "warmup": {"kind": "none"}, **recipe})
    return {**point, "model": {"name": "own", **words}}


def _train(here: Here, point: dict[str, Any], build: Callable[[Any], Any]) -> list[np.ndarray]:
    """The final values of the float variables; rank 0 leaves them in the folder of the checks."""
    from horovod_lb.training.worker import execute

    directory = RunDirectory(here.out / point["run_id"])
    if here.rank == 0:
        directory.create(point)
    here.comm.barrier()
    trained: list[Any] = []

    def main(run: Any) -> None:
        trained.append(build(run))
        run.fit(trained[0])

    assert execute(directory.path, main) == "completed", directory.read_exit()
    values = [np.array(v) for v in trained[0].variables if np.asarray(v).dtype.kind == "f"]
    here.identical(*values)
    if here.rank == 0:
        np.savez(here.out / f"{point['run_id']}.npz", *values)
    return values


def _own(run: Any, batch_norm: Callable[[], Any]) -> Any:
    """`points.normalized` with other layers for its batch norm."""
    import keras

    plain = normalized()
    layers = [
        batch_norm() if isinstance(layer, keras.layers.BatchNormalization) else layer
        for layer in plain.layers
    ]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


def _synchronized(run: Any) -> Any:
    return _own(run, lambda: SyncBatchNormalization(run.collective(), momentum=0.8))


def _agrees(here: Here, point: dict[str, Any], values: list[np.ndarray], groups: int | None = None) -> None:
    """One process with plain layers: on each of so many parts of the batch, or on the whole of it."""
    if here.size > 1:
        return
    alone: type[Alone] = AloneByGroups if groups else Alone
    expected = alone({**point, "recipe": {**point["recipe"], "groups": groups}}, normalized).train()
    assert distance(values, expected) < 1e-5, distance(values, expected)


@ranks(1, 2, 3, 4, seconds=240)
def check_sync(here: Here) -> None:
    """Moments of the whole batch: one process that passes it through plain layers at once."""
    for holdout in (33, 35):
        point = _point(f"sync-{holdout}", {"batch_norm": "sync"}, holdout=holdout, **WEIGHTED)
        _agrees(here, point, _train(here, point, _synchronized))


@ranks(1, 2, 4, seconds=240)
def check_blocks(here: Here) -> None:
    """Moments of 6 of 12 groups: inside a rank, and on 4 ranks over two of them."""
    point = _point("blocks", {"batch_norm": "group", "bn_groups": 6}, holdout=33, **WEIGHTED)
    values = _train(here, point, _synchronized)
    _agrees(here, point, values, groups=2)


@ranks(1, 2, 3, seconds=240)
def check_small_blocks(here: Here) -> None:
    """Moments of 2 of 12 groups: several passes a rank."""
    point = _point("small-blocks", {"batch_norm": "group", "bn_groups": 2}, holdout=33, **WEIGHTED)
    values = _train(here, point, _synchronized)
    _agrees(here, point, values, groups=6)


@ranks(1, 2, 3, seconds=240)
def check_ghost(here: Here) -> None:
    """Ghosts of 5 in groups of 20: one process with four times the groups."""
    point = _point("ghost", {"batch_norm": "ghost", "ghost_size": 5}, batch_size=240)
    layer = functools.partial(GhostBatchNormalization, 5, momentum=0.8)
    values = _train(here, point, functools.partial(_own, batch_norm=layer))
    _agrees(here, point, values, groups=48)


@ranks(1, 2, seconds=400)
def check_words_of_a_network(here: Here) -> None:
    """ResNet-20 as `run.model()` builds it, for a few steps, at a rate that does not blow round-off up."""
    slow = {"batch_size": 240, "epochs": 0.3, "reference": {"learning_rate": 0.002, "batch_size": 60}}
    for words in ({"batch_norm": "ghost", "ghost_size": 5}, {"batch_norm": "sync"}):
        point = _point(f"resnet20-{words['batch_norm']}", words, **slow)
        point["model"] |= {"name": "resnet20", "zero_gamma": True}
        values = _train(here, point, lambda run: run.model())
        assert len(values) == 59 + 2 * 19


@ranks(3, seconds=240)
def check_sync_repeats_bit_for_bit(here: Here) -> None:
    """Moments are added in the same order whatever else is ready."""
    first, again = (
        _train(here, _point(f"repeat-{n}", {"batch_norm": "sync"}, batch_size=240), _synchronized)
        for n in (1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@ranks(2)
def check_models_that_are_not_those_of_the_words_are_refused(here: Here) -> None:
    from horovod_lb.distributed.peers import Peers

    def other(collective: Any) -> Callable[[Any], Any]:
        return functools.partial(_own, batch_norm=lambda: SyncBatchNormalization(collective()))

    def with_dropout(run: Any) -> Any:
        import keras

        return keras.Sequential(
            [*_synchronized(run).layers[:-1], keras.layers.Dropout(0.1), keras.layers.Dense(10)]
        )

    others = "and the model has synchronized layers of other peers"
    for number, (words, build, message) in enumerate(
        (
            ({}, other(Peers), f"plain, {others}"),
            ({"batch_norm": "sync"}, other(NoPeers), f"sync, {others}"),
            ({"batch_norm": "sync"}, lambda run: mlp(), "sync, and the model has no synchronized layer"),
            ({"batch_norm": "sync"}, with_dropout, "random layers"),
        )
    ):
        with pytest.raises(RecipeError, match=message):
            _train(here, _point(f"refused-{number}", words), build)
        here.comm.barrier()
