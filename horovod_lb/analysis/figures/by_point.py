"""Final accuracy and error along an axis: by batch size, by warmup, by epochs, by whatever a study varies."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from horovod_lb.analysis.figures import lines
from horovod_lb.analysis.figures.along import BUDGET, Along, Quantity, along
from horovod_lb.analysis.figures.drawn import Drawn, Kind
from horovod_lb.analysis.figures.finals import INTERVAL, baseline, finals
from horovod_lb.analysis.points import Point
from horovod_lb.analysis.results import Results


def final_accuracy_by(results: Results, axis: str | None) -> Drawn | None:
    """Final validation accuracy along `axis` (None: the batch size of a study without axes), with the
    study's target and baseline as lines. None where no run has a result.
    """
    quantity = Quantity("final validation accuracy (%)", _accuracies, percent=True)
    return _drawn("accuracy", along(results, axis, quantity, levels(results)))


def final_error_by(results: Results, axis: str | None) -> Drawn | None:
    """The same as top-1 error, 100 % less the accuracy."""
    quantity = Quantity(
        "top-1 validation error (%)",
        lambda point: [100 - value for value in _accuracies(point)],
        percent=True,
        worse_above=True,
    )
    mirrored = [(text, 100 - value) for text, value in levels(results)]
    return _drawn("error", along(results, axis, quantity, mirrored))


def levels(results: Results) -> list[tuple[str, float]]:
    """The target and the baseline's mean final validation accuracy, in percent, where the study has them."""
    target = results.source.target.get("val_accuracy")
    found = [("target", 100 * target)] if target is not None else []
    reference = baseline(results)
    if reference is not None and reference.accuracy.mean is not None:
        found.append(("baseline", 100 * reference.accuracy.mean))
    return found


def _accuracies(point: Point) -> list[float]:
    return [100 * value for value in finals(point)]


def _drawn(word: str, made: Along | None) -> Drawn | None:
    if made is None:
        return None
    caption = (
        f"Final validation {word} by {made.axis}: means over seeds ({made.n}){made.tuned}, {INTERVAL}, "
        "single runs as dots."
    )
    return Drawn(f"final_{word}_by_{made.axis.replace(' ', '_')}", caption, made.figure, made.colors)


def _axes(results: Results) -> list[str | None]:
    """The main axis, and every further one of numbers or budgets."""
    main = lines.roles(results).main
    numeric = lines.numeric_axes(results)
    budget = [BUDGET] if BUDGET in results.axes and BUDGET not in numeric else []
    return [main, *(axis for axis in (*numeric, *budget) if axis != main)]


def _all(draw: Callable[[Results, str | None], Drawn | None]) -> Callable[[Results], Iterator[Drawn]]:
    def drawn(results: Results) -> Iterator[Drawn]:
        made = (draw(results, axis) for axis in _axes(results))
        return (one for one in made if one is not None)

    return drawn


KINDS = {
    "final_accuracy_by": Kind(
        _all(final_accuracy_by),
        "final validation accuracy by batch size and by each other axis of numbers",
        usual=True,
    ),
    "final_error_by": Kind(
        _all(final_error_by), "top-1 validation error by batch size and by each other axis of numbers"
    ),
}
