"""The figures of a study: kinds by name, and what draws them.

Figures are made without pyplot, so nothing global changes and no display is needed. Matplotlib is imported
only to draw.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.figures import (
    by_epoch,
    by_point,
    cost,
    distance,
    fitted,
    heat_map,
    ladder,
    rates,
    regimes,
    scaling,
    sharpness,
    trust,
)
from horovod_lb.analysis.figures.choices import Choices, choosing
from horovod_lb.analysis.figures.drawn import Drawn, Kind
from horovod_lb.analysis.results import Results
from horovod_lb.errors import RequestError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

KINDS: dict[str, Kind] = {
    **by_epoch.KINDS,
    **by_point.KINDS,
    **heat_map.KINDS,
    **ladder.KINDS,
    **fitted.KINDS,
    **regimes.KINDS,
    **sharpness.KINDS,
    **scaling.KINDS,
    **cost.KINDS,
    **distance.KINDS,
    **trust.KINDS,
    **by_epoch.RATES,
    **rates.KINDS,
}
"""Every kind of figure by its name, in the order of a report."""


_USUAL = Choices()


def draw(results: Results, names: Sequence[str] = (), choices: Choices = _USUAL) -> list[Drawn]:
    """The figures for which there is data: those of the kinds in `names`, else the usual ones.

    A figure's name begins with its kind's, and both may be given, or the beginning of one:
    `final_accuracy_by` draws `final_accuracy_by_batch_size`, ... Names of no kind are passed over; see
    `require`. The usual ones have one figure each where asked ones would have several of many panels.
    """
    with choosing(choices if names else replace(choices, sheets=1)):
        if not names:
            return [drawn for kind in KINDS.values() if kind.usual for drawn in kind.draw(results)]
        wanted = {word: [name for name in names if word in _kinds(name)] for word in KINDS}
        found = [
            (drawn, wanted[word]) for word in KINDS if wanted[word] for drawn in KINDS[word].draw(results)
        ]
    return [drawn for drawn, some in found if drawn.name.startswith(tuple(some))]


def require(name: str) -> None:
    """Raises `RequestError`, with the nearest kinds, where `name` is no kind's nor a figure's."""
    if _kinds(name):
        return
    near = difflib.get_close_matches(name, KINDS, 3, 0.5)
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    raise RequestError(f"{name} is no kind of figure{meant} `hlb figures STUDY --list` shows all")


def figure(
    kind: str,
    runs: pd.DataFrame,
    epochs: pd.DataFrame | None = None,
    steps: pd.DataFrame | None = None,
    *,
    axes: Sequence[str] | None = None,
    **choices: Any,
) -> Figure:
    """A figure from DataFrames with the columns of `runs.csv`, `epochs.csv` and `steps.csv`.

    `kind` is a kind or the whole name of a figure; of several figures of a kind, it is the first. `axes` are
    the columns that make the points (see `results_from_frames`); `choices` are those of `Choices`. Raises
    `RequestError` for an unknown kind, and where the tables lack what it shows.
    """
    from horovod_lb.analysis.frames import results_from_frames

    require(kind)
    results = results_from_frames(runs, epochs, steps, axes=axes)
    found = draw(results, [kind], Choices(**choices))
    if not found:
        raise RequestError(f"{kind}: {lacking(results, kind)}")
    return next((drawn for drawn in found if drawn.name == kind), found[0]).figure


def lacking(results: Results, name: str) -> str:
    """Why there is no figure of this name, as the end of a sentence."""
    (word, *_) = _kinds(name)
    return KINDS[word].missing(results) or f"the runs give no figure of this name; {word} gives others"


def _kinds(name: str) -> list[str]:
    """The kinds that a name means: the one of this name; else the longest one that it begins with; else those
    that begin with it.
    """
    if name in KINDS:
        return [name]
    longer = [word for word in KINDS if name.startswith(word)]
    return [max(longer, key=len)] if longer else [word for word in KINDS if word.startswith(name)]


__all__ = ["KINDS", "Choices", "Drawn", "Kind", "draw", "figure", "lacking", "require"]
