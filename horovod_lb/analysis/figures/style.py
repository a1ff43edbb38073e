"""One look for all figures: fonts, colours that colour-blind readers can tell apart, and files in three
formats.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from horovod_lb.runs.atomic import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#191a1b"
GRID = "#d9dadb"
FORMATS = ("pdf", "svg", "png")
DOTS = 200  # an inch, of PNG files
LINE_STYLES = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "<", ">", "p", "h", "*", "d")
# Okabe and Ito's palette without its yellow, which is too pale on white (https://jfly.uni-koeln.de/color/).
_FEW = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", INK)
_FEW_ON_DARK = ("#4da6e8", "#f28a4a", "#2cc79b", "#e0a3c6", "#f2b84b", "#9ad2f5", INK)
TITLE_SIZE = 7.5  # points: legends and their titles
_SETTINGS = {
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": TITLE_SIZE,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "pdf.fonttype": 42,
}


def lay_out(figure: Figure) -> None:
    """Finds room for titles, labels and legend once, rather than for each file that is written."""
    # Letters are measured in whole dots: at matplotlib's usual 100 an inch they come out 8 % narrower.
    figure.set_dpi(DOTS)
    engine = figure.get_layout_engine()
    if engine is not None:
        with styled():
            engine.execute(figure)
            engine.execute(figure)  # panels of the new size may have other, longer numbers at their ticks
    figure.set_layout_engine("none")


@contextmanager
def styled() -> Iterator[None]:
    """For its time, matplotlib draws in this look."""
    import matplotlib as mpl

    with mpl.rc_context(_SETTINGS):
        yield


def palette(count: int, *, dark: bool = False) -> list[str]:
    """`count` colours as hex: up to seven clearly different ones, beyond that an ordered map. `dark` for dark
    pages.
    """
    if count <= len(_FEW):
        return list((_FEW_ON_DARK if dark else _FEW)[:count])
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    low, high = (0.32, 1.0) if dark else (0.0, 0.88)
    return [to_hex(colormaps["viridis"](low + (high - low) * i / (count - 1))) for i in range(count)]


def save(figure: Figure, stem: Path, formats: Sequence[str] = FORMATS) -> None:
    """Writes `stem`.pdf, .svg and .png (200 dots an inch); the same figure gives the same bytes."""
    metadata = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    for suffix in formats:
        content = _render(figure, suffix, stem.name, "path", metadata[suffix])
        write_bytes(stem.with_suffix(f".{suffix}"), content)


def inline_svg(figure: Figure, name: str, colors: int) -> str:
    """The figure as an SVG element for an HTML page, in colours that follow the page's light or dark scheme.

    `colors` is the number of palette colours in the figure. Text stays text; ids are made unique by `name`.
    """
    svg = _render(figure, "svg", name, "none", {"Date": None}, transparent=True).decode()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\b(id="|xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    light, dark = palette(colors), palette(colors, dark=True)
    rules = []
    for index, (one, other) in enumerate(zip(light, dark, strict=True)):
        if one != INK:  # ink follows the page's text
            svg = svg.replace(one, f"var(--{name}-{index})")
            rules.append((f"--{name}-{index}:{one};", f"--{name}-{index}:{other};"))
    svg = svg.replace(INK, "currentColor").replace(GRID, "var(--grid)")
    style = f":root{{{''.join(one for one, _ in rules)}}}"
    if light != dark:
        scheme = f":root{{{''.join(other for _, other in rules)}}}"
        style += f"@media screen and (prefers-color-scheme:dark){{{scheme}}}"
    return f"<style>{style}</style>\n{svg}"


def _render(
    figure: Figure,
    suffix: str,
    salt: str,
    fonttype: str,
    metadata: Mapping[str, str | None],
    transparent: bool = False,
) -> bytes:
    import matplotlib as mpl

    buffer = io.BytesIO()
    settings = {**_SETTINGS, "svg.hashsalt": salt, "svg.fonttype": fonttype}
    with mpl.rc_context(settings):
        figure.savefig(buffer, format=suffix, dpi=DOTS, metadata=metadata, transparent=transparent)
    return buffer.getvalue()
