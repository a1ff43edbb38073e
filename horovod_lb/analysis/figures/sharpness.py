"""Sharpness at the end of training by batch size: with and without SAM, a panel an optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from horovod_lb.analysis.figures import lines
from horovod_lb.analysis.figures.along import Quantity, along
from horovod_lb.analysis.figures.drawn import Drawn, Kind
from horovod_lb.analysis.figures.finals import INTERVAL, finals
from horovod_lb.analysis.points import BATCH_AXES, Point
from horovod_lb.analysis.results import Results

_COLUMNS = {
    "sharpness": ("sharpness φ", "100·(max f − f)/(1 + f) over a box around the weights"),
    "sharpness_sam": ("rise of the loss within ρ", "max f(w + e) − f(w) over the ball of radius ρ"),
}


def sharpness_by_batch_size(results: Results, column: str) -> Drawn | None:
    """A measurement of sharpness at its last value, by batch size (docs/methods/sharpness.md), on a
    logarithmic axis where all values are positive. None where no run has it.
    """
    axis = next((axis for axis in lines.axes(results) if axis in BATCH_AXES), lines.roles(results).main)
    values = [value for point in results.points for value in finals(point, column)]
    if not values:
        return None
    name, formula = _COLUMNS[column]
    quantity = Quantity(name, _finals(column), logarithmic=min(values) > 0)
    made = along(results, axis, quantity)
    if made is None:
        return None
    caption = (
        f"Sharpness at the end of training by {made.axis}, {formula}: means over seeds ({made.n})"
        f"{made.tuned}, {INTERVAL}, single runs as dots."
    )
    return Drawn(f"{column}_by_{made.axis.replace(' ', '_')}", caption, made.figure, made.colors)


def _finals(column: str) -> Callable[[Point], list[float]]:
    return lambda point: finals(point, column)


def _each(results: Results) -> Iterator[Drawn]:
    made = (sharpness_by_batch_size(results, column) for column in _COLUMNS)
    return (drawn for drawn in made if drawn is not None)


KINDS = {
    "sharpness": Kind(_each, "sharpness at the end by batch size, with and without SAM, a panel an optimizer")
}
