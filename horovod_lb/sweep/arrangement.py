"""Which runs share sessions of how many ranks, and where these sessions run side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from horovod_lb.errors import RequestError
from horovod_lb.recipe.batch import Batch as GlobalBatch
from horovod_lb.recipe.batch import dealt as sentences
from horovod_lb.recipe.normalization import sharing, span
from horovod_lb.sweep.places import Lender, Place

Spec = Mapping[str, Any]


@dataclass(frozen=True)
class Batch:
    """Runs that one kind of session can train: the same number of ranks and the same all-reduce algorithm."""

    workers: int
    allreduce: str
    places: tuple[Place, ...]
    threads: int
    run_ids: tuple[str, ...]


def arrange(
    specs: Sequence[Spec], lender: Lender, *, workers: int | None = None, threads: int | None = None
) -> list[Batch]:
    """Groups runs (by their `run.json`) into batches, in the order of their first runs.

    Args:
        specs: contents of `run.json`.
        lender: where sessions can run.
        workers: ranks a run, instead of what `ranks_of` finds.
        threads: threads a rank, instead of an equal share of the cores.

    Raises:
        RequestError: `workers` cannot share a run's groups (the message names the numbers that can), or the
            hosts do not hold a run.
    """
    groups: dict[tuple[int, str], list[str]] = {}
    for spec in specs:
        ranks = dealing(spec, lender.ranks, workers).workers
        groups.setdefault((ranks, spec["recipe"]["communication"]["allreduce"]), []).append(spec["run_id"])
    batches = []
    for (ranks, allreduce), run_ids in groups.items():
        places, share = lender.places(ranks, len(run_ids))
        batches.append(Batch(ranks, allreduce, tuple(places), threads or share, tuple(run_ids)))
    return batches


def ranks_of(spec: Spec, room: int) -> int:
    """Ranks for a run: `resources.workers`, cut to the greatest number with room that can share its groups.

    Where the number of workers is an axis of the study it is the experiment, and taken as it is.
    """
    wanted = int(spec["resources"]["workers"])
    if "resources.workers" in spec["point"]:
        return wanted
    return max(number for number in _possible(spec) if number <= max(1, min(wanted, room)))


def dealing(spec: Spec, room: int, workers: int | None = None) -> GlobalBatch:
    """The global batch of a run on `workers` ranks, or else on those of `ranks_of`.

    Raises:
        RequestError: `workers` cannot share its groups; the message names the numbers that can.
    """
    ranks = ranks_of(spec, room) if workers is None else _checked(spec, workers)
    return GlobalBatch(int(spec["derived"]["batch_size"]), int(spec["derived"]["groups"]), ranks)


def dealt(shares: Iterable[tuple[Spec, GlobalBatch]]) -> list[str]:
    """What ranks do that have several groups of a run each, as sentences."""
    return sentences((batch, span(spec["model"], batch).groups) for spec, batch in shares)


def _checked(spec: Spec, workers: int) -> int:
    if workers not in _possible(spec):
        raise RequestError(
            f"--workers {workers}: the {spec['derived']['groups']} groups of run {spec['run_id']} cannot be "
            f"dealt to {workers} ranks; these numbers would do: {', '.join(map(str, _possible(spec)))}"
        )
    return workers


def _possible(spec: Spec) -> list[int]:
    return sharing(spec["model"], int(spec["derived"]["groups"]))
