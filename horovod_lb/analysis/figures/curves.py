"""Figures of curves over training: which columns of `epochs.csv` they show, and how."""

from __future__ import annotations

from dataclasses import dataclass

from horovod_lb.analysis.figures import lines
from horovod_lb.analysis.figures.choices import chosen
from horovod_lb.analysis.figures.drawn import Drawn
from horovod_lb.analysis.figures.layout import ends, lay_out
from horovod_lb.analysis.figures.sheet import Sheet
from horovod_lb.analysis.figures.strokes import Part
from horovod_lb.analysis.results import Results

MOST_PANELS = 12
_SOME_PANELS = 9  # where there are more than fit, and one figure has to do


@dataclass(frozen=True)
class Curves:
    """A figure of curves: `parts` in rows of panels, or `together` in each panel, told by line
    style under the title `told`.

    `zoom` adds the second half enlarged; `by_step` draws over updates instead of epochs; `ends_only` keeps
    the smallest and the largest batch size of many; `batch_first` tells the batch size by colour.
    """

    name: str
    about: str
    parts: tuple[Part, ...]
    together: bool = False
    told: str = "measured on"
    zoom: bool = False
    by_step: bool = False
    ends_only: bool = False
    batch_first: bool = False

    def draw(self, results: Results) -> list[Drawn]:
        """The figure, or several where there are more panels than one holds; none where there is no data."""
        bands = {
            (id(point), part.column): lines.band(point, part.column)
            for point in results.points
            for part in self.parts
        }
        points = [
            point
            for point in results.points
            if any(bands[id(point), part.column] or lines.diverged(point, part.column) for part in self.parts)
        ]
        if not points:
            return []
        kept = ends(results, points) if self.ends_only else points
        layout = lay_out(results, kept, styles_taken=self.together, batch_first=self.batch_first)
        all_panels = layout.panels()
        sheets = chosen().sheets
        most = _SOME_PANELS if len(all_panels) > MOST_PANELS and sheets == 1 else MOST_PANELS
        shown = all_panels[: most * sheets]
        figures = []
        for number, start in enumerate(range(0, len(shown), most), 1):
            sheet = Sheet(self, layout, shown[start : start + most], bands)
            caption = f"{self.about[0].upper()}{self.about[1:]}: {sheet.note()}"
            if len(kept) < len(points):
                caption += " The smallest and the largest batch size only."
            if len(points) < len(results.points):
                caption += f" {len(results.points) - len(points)} of {len(results.points)} points have none."
            if len(all_panels) > MOST_PANELS:
                here = f"{start + 1} to {start + len(sheet.panels)} of {len(all_panels)}"
                caption += f" Panels {here}; --where chooses others."
            name = self.name if number == 1 else f"{self.name}_{number}"
            figures.append(Drawn(name, caption, sheet.draw(), len(layout.hues)))
        return figures
