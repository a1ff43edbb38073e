"""What to run next to narrow a boundary down: batch sizes, seeds, values of an axis."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.points import BATCH_AXES, LABEL, Point
from horovod_lb.analysis.record import dotted
from horovod_lb.analysis.regimes.baseline import Baseline
from horovod_lb.analysis.regimes.batches import batch_size_of
from horovod_lb.analysis.regimes.boundaries import Boundary
from horovod_lb.analysis.regimes.criterion import SURE
from horovod_lb.analysis.regimes.judged import ACCURACY, Judged
from horovod_lb.analysis.rows import is_finite
from horovod_lb.analysis.table import sort_key

if TYPE_CHECKING:
    from horovod_lb.analysis.results import Results

MOST_SEEDS = 20
FEW_SEEDS = 3


@dataclass(frozen=True)
class Proposal:
    """Runs that would narrow down a `boundary`, and `why`: `point` is one to add to the study (its keys and
    their values), `seeds` what the study's seeds should be; one of them is empty. `planned` says that the
    study has it already, and it is yet to be run.
    """

    boundary: str
    why: str
    point: Mapping[str, Any]
    seeds: tuple[int, ...] = ()
    batch_size: int | None = None
    planned: bool = False

    def words(self) -> str:
        """What to write into the study file."""
        import yaml

        if self.seeds:
            return f"seeds: [{', '.join(map(str, self.seeds))}]"
        flow = yaml.safe_dump(dict(self.point), default_flow_style=True, sort_keys=False, width=10_000)
        return f"- {flow.strip()}"


def propose(
    results: Results, boundary: Boundary, base: Baseline, full: int | None, *, factor: float = 2.0
) -> list[Proposal]:
    """What to run next: a batch size where the bracket is wider than `factor` or open, then seeds and values
    of axes that would settle its ends.

    The next batch size halves the bracket on a logarithmic scale, at `low` times a power of two where there
    is one; without an upper end it is twice the largest, at most the full batch.
    """
    found = []
    following = next_batch_size(boundary.low, boundary.high, factor, full)
    linear = boundary.name == "B_L"
    if following is not None and not (linear and not is_finite(base.rate)):
        template = _template(boundary, base)
        size = _divisible(following, template, results.axes, boundary)
        if size is not None:
            point = point_at(size, template, results.axes)
            if linear:
                point |= _linear(base)
            upper = boundary.high
            why = f"halves {boundary.low:,} to {upper:,}" if upper else "no upper end is known yet"
            planned = _is_planned(results, template, {"recipe.batch_size": size})
            found.append(Proposal(boundary.name, why, point, batch_size=size, planned=planned))
    return [*found, *_settling(results, boundary, base)]


def next_batch_size(low: int, high: int | None, factor: float, full: int | None) -> int | None:
    """The batch size to try next; None where the bracket is narrow enough, or ends at the full batch."""
    if high is None:
        following = 2 * low if full is None else min(2 * low, full)
        return following if following > low else None
    if high <= factor * low:
        return None
    octaves = math.log2(high / low)
    if octaves >= 2:
        return int(low * 2 ** round(octaves / 2))
    middle = low * 2 ** (octaves / 2)
    unit = low / 4
    while unit >= 1:  # narrow brackets have no multiple of a quarter inside
        following = round(round(middle / unit) * unit)
        if low < following < high:
            return following
        unit /= 2
    return round(middle) if low < round(middle) < high else None


def seeds_needed(here: Sequence[float], there: Sequence[float], fraction: float = ACCURACY) -> int | None:
    """With how many seeds on both sides a difference as large as now, with the same spread, would be told
    from 0 with 95 % confidence; None where that takes more than 20. Three where the spread is not known yet.
    """
    from scipy.special import stdtrit

    if min(len(here), len(there)) < 2:
        return FEW_SEEDS
    difference = abs(statistics.fmean(here) - fraction * statistics.fmean(there))
    variance = statistics.variance(here) + fraction**2 * statistics.variance(there)
    for n in range(FEW_SEEDS, MOST_SEEDS + 1):
        if difference >= stdtrit(2 * n - 2, SURE) * math.sqrt(variance / n):
            return n
    return None


def _settling(results: Results, boundary: Boundary, base: Baseline) -> Iterator[Proposal]:
    """Seeds for ends that are not decided; values beyond the edge of what was tried where nothing holds."""
    for size in (boundary.low, boundary.high):
        judged = boundary.at(size)
        if judged is None:
            continue
        if not judged.decided:
            yield from _more_seeds(boundary, judged, base)
        if not judged.holds:
            for at in judged.edges:
                point = point_at(judged.batch_size, judged.point, results.axes) | {at.axis: at.beyond}
                why = f"at {judged.batch_size:,} {at}"
                planned = _is_planned(results, judged.point, {at.axis: at.beyond})
                yield Proposal(boundary.name, why, point, batch_size=judged.batch_size, planned=planned)


def _more_seeds(boundary: Boundary, judged: Judged, base: Baseline) -> Iterator[Proposal]:
    accuracies = list(judged.point.by_seed().values()) + [0.0] * judged.point.n_diverged
    needed = seeds_needed(accuracies, base.accuracies)
    here = sorted({run.seed for run in (*judged.point.runs, *base.point.runs) if isinstance(run.seed, int)})
    if needed is None or needed <= judged.n:
        needed = judged.n + 2
    fresh = (seed for seed in range(needed + len(here)) if seed not in here)
    seeds = tuple(here) + tuple(next(fresh) for _ in range(max(0, needed - len(here))))
    if len(seeds) <= MOST_SEEDS:
        verb = "holds" if judged.holds else "does not hold"
        why = f"that {boundary.name}'s criterion {verb} at {judged.batch_size:,} is not sure"
        missing = judged.point.n_missing + base.point.n_missing
        if missing:
            why += f"; {missing} of its and the baseline's runs have no result yet"
        planned = set(seeds) <= {run.seed for run in judged.point.runs}
        yield Proposal(boundary.name, why, {}, seeds, judged.batch_size, planned)


def _template(boundary: Boundary, base: Baseline) -> Point:
    """The point whose recipe the next batch size gets: the baseline's; of techniques, the largest batch
    size's that holds, else the smallest's that does not.
    """
    if boundary.name == "B_L":
        return base.point
    judged = boundary.at(boundary.low) or boundary.at(boundary.high)
    return judged.point if judged else base.point


def point_at(size: int, template: Point, axes: Sequence[str]) -> dict[str, Any]:
    """The values of `template` with another batch size; where groups are an axis, they keep their size."""
    named = template.named(axes)
    own = batch_size_of(template)
    point: dict[str, Any] = {"recipe.batch_size": size}
    for axis, value in named.items():
        if axis == "recipe.groups" and own:
            point[axis] = size * value // own
        elif axis not in BATCH_AXES and (axis != LABEL or value is not None):
            # A section is named in short where it is an axis; the run's specification has it in full.
            section = dotted(template.runs[0].spec, axis)
            point[axis] = section if isinstance(section, Mapping) else value
    return point


def _is_planned(results: Results, template: Point, changed: Mapping[str, Any]) -> bool:
    """Whether the study has a point like `template` but for what is `changed`."""
    axes = [axis for axis in results.axes if axis != LABEL]
    wanted = {**template.named(results.axes), **changed}
    key = sort_key(wanted[axis] for axis in axes)
    return any(sort_key(point.named(results.axes)[axis] for axis in axes) == key for point in results.points)


def _linear(base: Baseline) -> dict[str, Any]:
    """What makes the rate B·η/B_0 where the baseline's own rule does not."""
    run = base.point.runs[0]
    told = run.value("recipe.scaling")
    if told in ("linear", None) or not is_finite(base.rate):
        return {}
    return {
        "recipe.scaling": "linear",
        "recipe.reference.batch_size": base.batch_size,
        "recipe.reference.learning_rate": base.rate,
    }


def _divisible(size: int, template: Point, axes: Sequence[str], boundary: Boundary) -> int | None:
    """The multiple of what a batch must be divided by that is next to `size` and within the bracket."""
    own, groups = batch_size_of(template), template.runs[0].value("recipe.groups")
    if not own or not is_finite(groups) or groups < 1:
        return size
    unit = int(own // groups) if "recipe.groups" in axes else int(groups)
    rounded = round(size / unit) * unit if unit else size
    inside = rounded > boundary.low and (boundary.high is None or rounded < boundary.high)
    return rounded if inside else None
