"""What in a study's recipes looks like a mistake, by comparing its runs with each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from fractions import Fraction
from typing import Any, NamedTuple

from horovod_lb.recipe.exact import exact
from horovod_lb.recipe.normalization import normalized_examples
from horovod_lb.recipe.sam import shared_groups
from horovod_lb.study.expand import RunSpec
from horovod_lb.study.networks import NETWORKS

# LEGW keeps the number of warmup steps; a factor of two to either side is within what papers tune.
FAR = 2.0


class Finding(NamedTuple):
    """`kind` in a word or two, what is wrong and what would do, and the ids of the runs it is about."""

    kind: str
    message: str
    runs: tuple[str, ...]


def audit(runs: Sequence[RunSpec]) -> list[Finding]:
    """Everything that looks like a mistake: each run's own warnings, then what shows between runs."""
    found = list(_own_warnings(runs))
    for check in (_networks, _double_scaling, _warmup_steps, _group_sizes, _label_smoothing):
        found += check(runs)
    return found


def _own_warnings(runs: Sequence[RunSpec]) -> Iterator[Finding]:
    about: dict[str, list[str]] = {}
    for run in runs:
        for warning in run.resolved.warnings:
            about.setdefault(warning, []).append(run.run_id)
    for warning, ids in about.items():
        key, _, text = warning.partition(": ")
        yield Finding(key, text, tuple(ids))


def _networks(runs: Sequence[RunSpec]) -> Iterator[Finding]:
    """A network that is none of the shipped ones but is spelled nearly like one; a job may have its own.

    The name of a whole family (`lenet`) is one that jobs give their own.
    """
    for same in _by(runs, lambda run: run.spec["model"]["name"]):
        name = same[0].spec["model"]["name"]
        near = get_close_matches(name, NETWORKS, n=1, cutoff=0.75)
        if near and not near[0].startswith(name):
            yield Finding(
                "model.name",
                f"{name} is no shipped network; did you mean {near[0]}? It is right if the job script has it",
                _ids(same),
            )


def _double_scaling(runs: Sequence[RunSpec]) -> Iterator[Finding]:
    """A reference rate that itself grows with the batch, under a rule that scales it once more."""
    scaled = [run for run in runs if run.resolved.scaling != "none"]
    for rule, power in (("linearly", 1.0), ("as the square root", 0.5)):

        def rate_over_growth(run: RunSpec, power: float = power) -> float:
            grown: float = run.resolved.batch.batch_size**power
            return float(_reference(run)["learning_rate"]) / grown

        sizes = {run.resolved.batch.batch_size for run in scaled}
        rates = {_reference(run)["learning_rate"] for run in scaled}
        if len(sizes) > 1 and len(rates) > 1 and _nearly_equal(map(rate_over_growth, scaled)):
            names = ", ".join(sorted({run.resolved.scaling for run in scaled}))
            yield Finding(
                "double scaling",
                f"reference.learning_rate grows {rule} with the batch size, and scaling: {names} multiplies "
                "it once more; keep one reference rate for all batch sizes, or scaling: none",
                _ids(scaled),
            )


def _warmup_steps(runs: Sequence[RunSpec]) -> Iterator[Finding]:
    """Warmups whose number of steps is far from LEGW's, which is the same for every batch size."""
    warm = [run for run in runs if run.resolved.rate.warmup_steps and run.resolved.scaling != "legw"]
    for same in _by(warm, lambda run: run.resolved.rate.warmup_epochs):
        smallest = min(same, key=lambda run: run.resolved.batch.batch_size)
        for at_one_size in _by(same, lambda run: run.resolved.batch.batch_size):
            run = at_one_size[0]
            steps, wanted = run.resolved.rate.warmup_steps, _legw_steps(run)
            where = "reference.warmup_epochs gives"
            if wanted is None:
                wanted = smallest.resolved.rate.warmup_steps
                where = f"batch size {smallest.resolved.batch.batch_size} has"
            if not 1 / FAR <= steps / wanted <= FAR:
                yield Finding(
                    "warmup steps",
                    f"batch size {run.resolved.batch.batch_size} warms up for {steps:g} steps, {where} "
                    f"{wanted:g}; LEGW keeps the steps, so that the epochs grow with the batch",
                    _ids(at_one_size),
                )


def _legw_steps(run: RunSpec) -> float | None:
    """w_ref * N / B_ref; None where the recipe has no reference warmup."""
    reference = _reference(run)
    if not reference["warmup_epochs"] or not reference["batch_size"]:
        return None
    examples = run.resolved.timeline.examples
    return float(exact(reference["warmup_epochs"]) * Fraction(examples, reference["batch_size"]))


def _group_sizes(runs: Sequence[RunSpec]) -> Iterator[Finding]:
    """Examples of one normalization, or of one perturbation, that change along an axis: another loss."""
    grow = "let recipe.groups grow with the batch size (`zip`)"
    sync = any(run.spec["model"]["batch_norm"] == "sync" for run in runs)
    normalize = "batch_norm: sync takes the whole batch, plain or ghost groups of one size" if sync else grow
    for what, remedy, key, examples in (
        ("batch norm takes its moments", normalize, "model.ghost_size and model.bn_groups", _normalized),
        ("SAM takes its perturbation", grow, "recipe.sam.group", _perturbed),
    ):
        of = {run.run_id: examples(run) for run in runs}
        sizes = sorted({size for size in of.values() if size})
        if len(sizes) > 1:
            yield Finding(
                "group size",
                f"{what} over {_range(sizes)} examples, depending on the run, which is another loss; "
                f"{remedy}, or compare just that ({key} {'say' if ' and ' in key else 'says'} it too)",
                tuple(run_id for run_id, size in of.items() if size),
            )


def _normalized(run: RunSpec) -> int | None:
    """Examples of one batch normalization; None where the network has none. Of a job's own it may be any."""
    model = run.spec["model"]
    network = NETWORKS.get(model["name"])
    if network and not network.batch_norm:
        return None
    return normalized_examples(model, run.resolved.batch)


def _perturbed(run: RunSpec) -> int | None:
    """Examples of one perturbation of SAM; None without it, or with one for the whole batch, as meant."""
    sam, batch = run.spec["recipe"]["sam"], run.resolved.batch
    if not sam or sam["group"] == "global":
        return None
    return batch.group_size * shared_groups(sam, batch.groups)


def _label_smoothing(runs: Sequence[RunSpec]) -> Iterator[Finding]:
    values = sorted({float(run.spec["recipe"]["label_smoothing"]) for run in runs})
    if len(values) > 1:
        yield Finding(
            "label smoothing",
            f"label_smoothing is {_range(values)}, depending on the run: their training losses cannot be "
            "compared with each other; compare accuracies, or the validation loss, which is never smoothed",
            _ids([run for run in runs if run.spec["recipe"]["label_smoothing"]]),
        )


def _reference(run: RunSpec) -> dict[str, Any]:
    found: dict[str, Any] = run.spec["recipe"]["reference"]
    return found


def _by(runs: Sequence[RunSpec], key: Callable[[RunSpec], Any]) -> list[list[RunSpec]]:
    groups: dict[Any, list[RunSpec]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return list(groups.values())


def _nearly_equal(values: Iterator[float] | map[float]) -> bool:
    first, *others = values
    return all(math.isclose(first, other, rel_tol=0.02) for other in others)


def _range(values: Sequence[float]) -> str:
    return f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} to {values[-1]:g}"


def _ids(runs: Sequence[RunSpec]) -> tuple[str, ...]:
    return tuple(run.run_id for run in runs)
