"""What a caller wishes of all figures: how wide they are, and which axis is told by colour or line style."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from horovod_lb.errors import RequestError

WIDTHS = {"column": 3.4, "page": 7.0}
"""Inches: a column of a two-column paper, and its whole page."""


@dataclass(frozen=True)
class Choices:
    """`width` is one of `WIDTHS`; `color` and `style` are axes (None: the figure's own choice); curves of
    many panels have up to `sheets` figures.
    """

    width: str = "page"
    color: str | None = None
    style: str | None = None
    sheets: int = 4

    def __post_init__(self) -> None:
        if self.width not in WIDTHS:
            raise RequestError(f"the width of a figure is {' or '.join(WIDTHS)}, not {self.width!r}")

    @property
    def inches(self) -> float:
        """The width of a figure."""
        return WIDTHS[self.width]


_USUAL = Choices()
_CHOSEN: ContextVar[Choices] = ContextVar("choices", default=_USUAL)


def chosen() -> Choices:
    """The wishes in force."""
    return _CHOSEN.get()


@contextmanager
def choosing(choices: Choices) -> Iterator[None]:
    """For its time, figures are made as `choices` say."""
    token = _CHOSEN.set(choices)
    try:
        yield
    finally:
        _CHOSEN.reset(token)
