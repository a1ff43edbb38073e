"""The static figures: written beside the page, and embedded in it with their downloads."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from horovod_lb.analysis.figures import Drawn
from horovod_lb.analysis.figures.style import inline_svg, lay_out, save
from horovod_lb.analysis.report.pack import squeeze

_LARGE = 400_000  # bytes of an SVG file, above which a browser is faster with pixels
_MOST_PROCESSES = 4


class Picture(NamedTuple):
    """A figure in the page: as `svg`, which follows the page's light or dark scheme, or, where that would be
    large, as `png`; and the files to download: `pdf` and `png` in Base64, the SVG `file` packed. Where there
    is no `png`, the browser makes it of the SVG file.
    """

    name: str
    caption: str
    svg: str | None
    png: str | None
    pdf: str
    file: str


def pictures(drawn: Sequence[Drawn], folder: Path) -> list[Picture]:
    """Writes each figure as PNG, PDF and SVG into `folder`, and gives what the page needs of it.

    Several figures are written at the same time, by processes that are forked for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    processes = min(len(drawn), len(os.sched_getaffinity(0)), _MOST_PROCESSES)
    if processes > 1:
        try:
            with ProcessPoolExecutor(
                processes, get_context("fork"), initializer=_Writer.set, initargs=(drawn, folder)
            ) as pool:
                return list(pool.map(_Writer.write, range(len(drawn))))
        except BrokenProcessPool:  # one was killed; for want of memory, most likely
            pass
    return [_write(one, folder) for one in drawn]


class _Writer:
    """In a forked process: the figures, which came over with it."""

    drawn: Sequence[Drawn] = ()
    folder = Path()

    @classmethod
    def set(cls, drawn: Sequence[Drawn], folder: Path) -> None:
        cls.drawn, cls.folder = drawn, folder

    @classmethod
    def write(cls, number: int) -> Picture:
        return _write(cls.drawn[number], cls.folder)


def _write(drawn: Drawn, folder: Path) -> Picture:
    lay_out(drawn.figure)
    stem = folder / drawn.name
    save(drawn.figure, stem)
    png, pdf, svg = (stem.with_suffix(suffix).read_bytes() for suffix in (".png", ".pdf", ".svg"))
    large = len(svg) > _LARGE
    return Picture(
        name=drawn.name,
        caption=drawn.caption,
        svg=None if large else inline_svg(drawn.figure, drawn.name, drawn.colors),
        png=base64.b64encode(png).decode() if large else None,
        pdf=base64.b64encode(pdf).decode(),
        file=squeeze(svg),
    )
