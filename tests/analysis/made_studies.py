"""Studies whose runs are made up, from a seed: what runs of large batches look like, for figures.

Accuracies fall with the batch size, rates have an optimum that rises with it, runs beyond twice the optimum
diverge, some are missing. Everything is in memory; nothing is read or written.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from horovod_lb.analysis import Results
from horovod_lb.analysis.points import axes_of
from horovod_lb.analysis.record import Record
from horovod_lb.analysis.runs import in_order
from horovod_lb.analysis.source import Source
from horovod_lb.runs import State

EXAMPLES = 60_000


def results(records: Sequence[Record], **source: Any) -> Results:
    """The results of records, as `collect` makes them."""
    axes = axes_of(records)
    return Results(Source("made", tuple(records), (), **source), axes, tuple(in_order(records, axes)))


def run(
    point: Mapping[str, Any],
    seed: int = 0,
    accuracies: Sequence[float] = (),
    state: State = State.COMPLETED,
    **about: Any,
) -> Record:
    """A run with an epoch for each of `accuracies`; `about` are columns of every epoch, or `exit`, `derived`
    and `provenance`.
    """
    exit_record, derived, life = (about.pop(name, {}) for name in ("exit", "derived", "provenance"))
    batch = point.get("recipe.batch_size", 256)
    rows = tuple(
        {
            "epoch": epoch,
            "step": round(epoch * EXAMPLES / batch),
            "train_loss": 1.0,
            "val_loss": 1.0,
            "val_accuracy": value,
            "images_per_second": 1000.0,
            "seconds": 60.0,
            **{name: value[epoch - 1] if isinstance(value, list) else value for name, value in about.items()},
        }
        for epoch, value in enumerate(accuracies, 1)
    )
    spec = {
        "study": "made",
        "point": dict(point),
        "seed": seed,
        "recipe": {"batch_size": batch, "optimizer": {"kind": "momentum"}},
        "derived": {"batch_size": batch, "epochs": len(rows) or None, **derived},
    }
    name = "-".join(map(str, (*point.values(), seed)))
    return Record(
        name,
        spec,
        state,
        outcome="nan" if state is State.DIVERGED else "ok" if state is State.COMPLETED else None,
        exit=exit_record,
        epochs=rows,
        lives=(life,) if life else (),
        wall_seconds=60.0 * len(rows) or None,
    )


def study(
    axes: Mapping[str, Sequence[Any]],
    accuracy: Callable[[Mapping[str, Any]], float | None],
    *,
    seeds: Iterable[int] = range(3),
    epochs: int = 10,
    spread: float = 0.002,
    missing: float = 0.0,
    slowness: Callable[[Mapping[str, Any]], float] = lambda point: 1.0,
    columns: Callable[[Mapping[str, Any], int], Mapping[str, Any]] = lambda point, seed: {},
    **source: Any,
) -> Results:
    """The product of `axes`; `accuracy` is that of a point without noise, None where its runs diverge, and
    `slowness` stretches the curve that leads there.
    """
    dice = random.Random(7)
    records = []
    for values, seed in product(product(*axes.values()), seeds):
        point = dict(zip(axes, values, strict=True))
        wanted = accuracy(point)
        noise = dice.gauss(0, spread)
        if dice.random() < missing:
            records.append(run(point, seed, state=State.PLANNED))
            continue
        final = 0.3 if wanted is None else wanted + noise
        pace = 5 / epochs / slowness(point)
        curve = [0.1 + (final - 0.1) * (1 - math.exp(-pace * epoch)) for epoch in range(1, epochs + 1)]
        about = dict(columns(point, seed))
        state = State.DIVERGED if wanted is None else State.COMPLETED
        records.append(run(point, seed, curve[: 3 if wanted is None else None], state, **about))
    return results(records, **source)


def falling(point: Mapping[str, Any]) -> float | None:
    """Accuracy by batch size, rate and warmup, for any axes of these: the best rate at 256 is 0.05 and grows
    with the square root of the batch size, the best warmup at 256 is two epochs and doubles with 4 · B; rates
    beyond four times the best one diverge.
    """
    batch = float(point.get("recipe.batch_size", 256))
    best_rate, best_warmup = 0.05 * math.sqrt(batch / 256), 2 * math.sqrt(batch / 256)
    rate = float(point.get("recipe.reference.learning_rate", best_rate))
    warmup = float(point.get("recipe.warmup.epochs", best_warmup))
    if rate > 4.1 * best_rate:
        return None
    loss = 0.004 * max(0.0, math.log2(batch / 1024)) ** 2 + 0.01 * math.log2(rate / best_rate) ** 2
    return 0.99 - loss - 0.002 * abs(math.log2((warmup + 1) / (best_warmup + 1)))
