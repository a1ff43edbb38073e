"""The figures of a study: kinds by name, and what draws them.

Figures are made without pyplot, so nothing global changes and no display is needed. Matplotlib is imported
only to draw.
"""

from __future__ import annotations

from collections.abc import Sequence

from horovod_lb.analysis.figures import by_epoch, by_point, fitted, heat_map, ladder
from horovod_lb.analysis.figures.drawn import Drawn, Kind
from horovod_lb.analysis.results import Results

KINDS: dict[str, Kind] = {
    **by_epoch.KINDS,
    **by_point.KINDS,
    **heat_map.KINDS,
    **ladder.KINDS,
    **fitted.KINDS,
    **by_epoch.RATES,
}
"""Every kind of figure by its name, in the order of a report."""


def draw(results: Results, names: Sequence[str] = ()) -> list[Drawn]:
    """The figures for which there is data: those whose names begin with one of `names`, else the usual ones.

    A figure's name begins with its kind's: `final_accuracy_by` draws `final_accuracy_by_batch_size`, ...
    """
    kinds = [
        kind
        for word, kind in KINDS.items()
        if (any(word.startswith(name) or name.startswith(word) for name in names) if names else kind.usual)
    ]
    found = [drawn for kind in kinds for drawn in kind.draw(results)]
    return [drawn for drawn in found if not names or drawn.name.startswith(tuple(names))]


__all__ = ["KINDS", "Drawn", "Kind", "draw"]
