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
    """

    draw: Callable[[Results], Iterable[Drawn]]
    about: str
    usual: bool = False
