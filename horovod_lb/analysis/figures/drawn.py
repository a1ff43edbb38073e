"""What draws figures, and a finished figure with what a page or a file needs to know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from horovod_lb.analysis.results import Results


class Drawn(NamedTuple):
    """A figure, its name (that of its files), its caption and how many palette colours it uses."""

    name: str
    caption: str
    figure: Figure
    colors: int


class Kind(NamedTuple):
    """A kind of figure: `draw` gives those for which the results have data, `about` is its line in a list of
    kinds, `usual` says that reports show it where a study does not choose.

    `columns` are those of `epochs.csv` that it draws, all of them needed, and `ask` what a study file says to
    have them, or what else the figure needs, for people who ask for a figure without data.
    """

    draw: Callable[[Results], Iterable[Drawn]]
    about: str
    usual: bool = False
    columns: tuple[str, ...] = ()
    ask: str = ""

    def missing(self, results: Results) -> str | None:
        """What the results lack for this figure, as a sentence's end; None where it can be drawn."""
        lacking = [
            name for name in self.columns if not any(run.last(name) is not None for run in results.records)
        ]
        if not lacking and (self.columns or any(True for _ in self.draw(results))):
            return None
        said = f"no run has {' and '.join(lacking)}" if lacking else "the runs have no data for it"
        if not self.ask:
            return said
        return f"{said}; it needs {self.ask}" + (" in the study" if self.ask.startswith("measure:") else "")
