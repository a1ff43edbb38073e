"""A finished figure with what a page or a file needs to know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Drawn(NamedTuple):
    """A figure, its name (that of its files), its caption and how many palette colours it uses."""

    name: str
    caption: str
    figure: Figure
    colors: int
