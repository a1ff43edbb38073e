"""What grows with the batch size by a law: the best rate, the best warmup, steps and epochs to a target."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from horovod_lb.analysis.figures.by_batch import Chart, Series, Spot, draw, group_name, groups
from horovod_lb.analysis.figures.drawn import Drawn, Kind
from horovod_lb.analysis.figures.finals import counts
from horovod_lb.analysis.points import Point
from horovod_lb.analysis.regimes.batches import batch_size_of
from horovod_lb.analysis.regimes.best import Best, best_by_batch, value_of
from horovod_lb.analysis.regimes.fits import CriticalBatch, PowerLaw, epochs_by_batch, power_law
from horovod_lb.analysis.regimes.targets import Target, ToTarget, target_of, to_target
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.rows import is_finite
from horovod_lb.analysis.table import sort_key
from horovod_lb.analysis.wide import label

_RATES = ("learning_rate_peak", "recipe.reference.learning_rate", "learning_rate")
_WARMUPS = ("warmup_epochs", "recipe.warmup.epochs")
_COLUMNS = {"val_accuracy": "validation accuracy", "val_loss": "validation loss"}


def best_rate_by_batch_size(results: Results) -> Drawn | None:
    """The peak rate with the highest mean final validation accuracy at each batch size, with a fitted power
    law and the linear and the square-root rule; None where there is
    one batch size alone, or none with two rates.
    """
    chart = Chart("best peak learning rate", hollow="at the edge of what was tried")
    made = _best(results, _RATES, chart, rules={"rate ∝ B": 1.0, "rate ∝ √B": 0.5})
    return _drawn(made, "best_rate_by_batch_size", "Peak learning rate")


def best_warmup_by_batch_size(results: Results) -> Drawn | None:
    """The same for the length of the warmup in epochs, without rules."""
    chart = Chart("best warmup (epochs)", logarithmic=False, hollow="at the edge of what was tried")
    return _drawn(_best(results, _WARMUPS, chart, {}), "best_warmup_by_batch_size", "Warmup")


def steps_to_target(results: Results) -> Drawn | None:
    """Updates until the target is first reached at the end of an epoch, by batch size, with the line of
    perfect scaling: half the steps at twice the batch size. None without a target,
    where no run reaches it, or for one batch size alone.
    """
    return _to_target(results, "steps", "steps_to_target_by_batch_size")


def epochs_to_target(results: Results) -> Drawn | None:
    """The same in epochs, with E(B) = E_min·(1 + B/B_crit) fitted to them."""
    return _to_target(results, "epochs", "epochs_to_target_by_batch_size")


def _best(
    results: Results, columns: Sequence[str], chart: Chart, rules: Mapping[str, float]
) -> tuple[list[Series], Chart, str, str] | None:
    axis = next((name for name in columns if _varies(results, name)), None)
    if axis is None:
        return None
    kept, tuned = groups(results)
    found = best_by_batch(replace(results, source=replace(results.source, tuned=tuple(tuned))), axis)
    if all(best.edge == "only" for best in found) or len({best.batch_size for best in found}) < 2:
        return None
    by_group: dict[Any, list[Best]] = {}
    for best in found:
        by_group.setdefault(sort_key(best.group.values()), []).append(best)
    series = []
    for bests in by_group.values():
        law = power_law([best.batch_size for best in bests], [best.value for best in bests])
        spots = [Spot(best.batch_size, best.value, hollow=not best.bracketed) for best in bests]
        series.append(Series(group_name(bests[0].group), spots, (), law, _exponent(law)))
    first = min((best for best in found if best.value > 0), key=lambda best: best.batch_size, default=None)
    if first is not None:
        chart = replace(chart, guides={text: _rule(first, power) for text, power in rules.items()})
    n = counts([best.accuracy.n for best in found])
    return series, chart, ", ".join(map(label, kept)), n


def _varies(results: Results, column: str) -> bool:
    values = [value_of(point, column) for point in results.points]
    return len({value for value in values if is_finite(value)}) > 1 and any(map(is_finite, values))


def _rule(first: Best, power: float) -> Callable[[float], float]:
    return lambda size: first.value * (size / first.batch_size) ** power


def _exponent(law: PowerLaw | None) -> str:
    if law is None:
        return ""
    interval = "" if law.low is None else f" ({law.low:.2f} to {law.high:.2f})"
    return f"∝ B to the {law.exponent:.2f}{interval}"


def _drawn(made: tuple[list[Series], Chart, str, str] | None, name: str, what: str) -> Drawn | None:
    if made is None:
        return None
    series, chart, title, n = made
    caption = (
        f"{what} with the highest mean final validation accuracy ({n}) by batch size; lines are power laws "
        "by least squares on logarithms, with the 95 % t interval of the exponent in brackets."
    )
    return Drawn(name, caption, draw(series, chart, title), len(series))


def _to_target(results: Results, quantity: str, name: str) -> Drawn | None:
    target = target_of(results)
    by_group = {} if target is None else _fastest(results, target, quantity)
    if target is None or not any(found.values(quantity) for one in by_group.values() for found in one):
        return None
    kept, _ = groups(results)
    series = [_target_series(found, kept, results.axes, quantity) for found in by_group.values()]
    if len({size for one in series for size in (*(spot.batch_size for spot in one.spots), *one.missed)}) < 2:
        return None
    chart = Chart(
        f"{quantity} to the target",
        logarithmic=quantity == "steps",
        hollow="some runs never reach it",
        missed="half of the runs or more never reach it",
    )
    if quantity == "steps":
        chart = replace(chart, guides=_perfect(series))
    column = _COLUMNS.get(target.column, target.column.replace("_", " "))
    value = f"{100 * target.value:.4g} %" if target.column.startswith("val_a") else f"{target.value:.4g}"
    n = counts([len(found.arrivals) for one in by_group.values() for found in one])
    fit = (
        "the line is perfect scaling from the smallest batch size"
        if quantity == "steps"
        else "curves are E(B) = E_min (1 + B/B_crit) by least squares, with the 95 % interval of B_crit in "
        "brackets"
    )
    caption = (
        f"{quantity.capitalize()} until {column} first reaches {value} ({target.why}), by batch size: median "
        f"over runs ({n} reach it), bars from the fastest to the slowest; {fit}."
    )
    return Drawn(name, caption, draw(series, chart, ", ".join(map(label, kept))), len(series))


def _fastest(results: Results, target: Target, quantity: str) -> dict[Any, list[ToTarget]]:
    """For each series the points, by batch size, that reach the target soonest among the tuned ones."""
    kept, _ = groups(results)
    found: dict[Any, dict[int, list[ToTarget]]] = {}
    for point in results.points:
        size = batch_size_of(point)
        if size is not None:
            named = point.named(results.axes)
            by_size = found.setdefault(sort_key(named[axis] for axis in kept), {})
            by_size.setdefault(size, []).append(to_target(point, target))

    def rank(one: ToTarget) -> tuple[float, int]:
        median = one.median(quantity)
        return math.inf if median is None else median, -len(one.arrivals)

    return {key: [min(found[key][size], key=rank) for size in sorted(found[key])] for key in sorted(found)}


def _target_series(
    found: Sequence[ToTarget], kept: Sequence[str], axes: Sequence[str], quantity: str
) -> Series:
    spots, missed = [], []
    for one in found:
        size, median, values = batch_size_of(one.point) or 0, one.median(quantity), one.values(quantity)
        if median is not None:
            spots.append(Spot(size, median, min(values), max(values), hollow=one.n_not_reached > 0))
        elif one.n_not_reached:
            missed.append(size)
    name = group_name(_values(found[0].point, kept, axes))
    if quantity == "steps":
        return Series(name, spots, missed)
    law = epochs_by_batch([spot.batch_size for spot in spots], [spot.value for spot in spots], resolution=1)
    # A critical batch size of 0 or inf is no curve to draw, but an answer.
    drawn = law if law is not None and law.critical > 0 else None
    return Series(name, spots, missed, drawn, _critical(law))


def _values(point: Point, kept: Sequence[str], axes: Sequence[str]) -> dict[str, Any]:
    named = point.named(axes)
    return {axis: named[axis] for axis in kept}


def _critical(law: CriticalBatch | None) -> str:
    if law is None:
        return ""
    low, high = (_rounded(end) for end in (law.critical_low, law.critical_high))
    return f"B_crit {_rounded(law.critical)} ({low} to {high})"


def _rounded(value: float) -> str:
    """Two significant digits, as more are never known."""
    if not math.isfinite(value) or not value:
        return "∞" if value else "0"
    return f"{float(f'{value:.2g}'):,.10g}"


def _perfect(series: Sequence[Series]) -> dict[str, Callable[[float], float]]:
    first = min(
        (spot for one in series for spot in one.spots), key=lambda spot: (spot.batch_size, spot.value)
    )
    return {"perfect scaling": lambda size: first.value * first.batch_size / size}


def _each(make: Callable[[Results], Drawn | None]) -> Callable[[Results], list[Drawn]]:
    def drawn(results: Results) -> list[Drawn]:
        made = make(results)
        return [] if made is None else [made]

    return drawn


KINDS = {
    "best_rate_by_batch_size": Kind(
        _each(best_rate_by_batch_size), "best learning rate by batch size, with its power law"
    ),
    "best_warmup_by_batch_size": Kind(
        _each(best_warmup_by_batch_size), "best warmup by batch size, with its power law"
    ),
    "steps_to_target_by_batch_size": Kind(
        _each(steps_to_target), "steps to the target by batch size, with perfect scaling"
    ),
    "epochs_to_target_by_batch_size": Kind(
        _each(epochs_to_target), "epochs to the target by batch size, with the critical batch size"
    ),
}
