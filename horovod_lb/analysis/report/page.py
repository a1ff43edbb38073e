"""The report: one HTML file with tables, curves, figures and a view of every run; works offline."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from horovod_lb import __version__
from horovod_lb.analysis.figures import draw
from horovod_lb.analysis.figures.style import INK, palette
from horovod_lb.analysis.present import mark
from horovod_lb.analysis.provenance import compare, newest_result
from horovod_lb.analysis.published import published
from horovod_lb.analysis.report import facts, pack, plotting
from horovod_lb.analysis.report.curves import curves
from horovod_lb.analysis.report.pictures import Picture, pictures
from horovod_lb.analysis.report.repeat import repeat_study
from horovod_lb.analysis.report.run_view import run_views
from horovod_lb.analysis.report.runs_grid import runs_grid
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.table import Table, text
from horovod_lb.analysis.wide import label
from horovod_lb.runs.atomic import write_text

_SCRIPTS = ("unpack.js", "grid.js", "plot.js", "curves.js", "run_view.js", "report.js")
_TITLES = {
    "accuracy": "Accuracy",
    "error": "Error",
    "best": "Best by validation accuracy",
    "differences": "Against the baseline",
}
_FEW_COLORS = 7
_MOST_COLORS = 12


class Live(NamedTuple):
    """The page is written again while runs go on, and loads itself anew `every` so many seconds; `written` is
    the time of this writing, for people.
    """

    every: int
    written: str


@dataclass(frozen=True)
class Page:
    """A report with its figures drawn, to be written into the folder `out`, also more than once."""

    results: Results
    figures: Sequence[Picture]
    out: Path

    def write(self, live: Live | None = None) -> Path:
        """Replaces `report.html` whole, or leaves it as it was, and returns its path."""
        path = self.out / "report.html"
        write_text(path, _render(self.results, self.figures, live))
        return path


def prepare(results: Results, out: Path, *, with_figures: bool = True) -> Page:
    """Draws the figures into `out/figures` as PNG, PDF and SVG."""
    out.mkdir(parents=True, exist_ok=True)
    drawn = draw(results, results.source.figures) if with_figures else []
    return Page(results, pictures(drawn, out / "figures") if drawn else [], out)


def write_report(results: Results, out: Path, *, with_figures: bool = True) -> Path:
    """Writes `report.html` and `figures/*.png|pdf|svg` into `out`, and returns the report's path.

    The page is replaced whole or left as it was. The tables are `Results.write`'s. Everything that comes from
    run folders is escaped, and what looks like a secret in logs and provenance is hidden. `with_figures`
    False leaves out the static figures, which take most of the time.
    """
    return prepare(results, out, with_figures=with_figures).write()


def _render(results: Results, figures: Sequence[Picture], live: Live | None) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("horovod_lb.analysis.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    library, script = plotting.plotly(), _script()
    same, different = compare(results.records)
    keys = run_keys(results)
    tables = [table for table in results.presented() if table.table.rows]
    shown = published(results.source.published) if results.source.published else None
    trouble = facts.trouble(results)
    return environment.get_template("report.html").render(
        name=results.source.name,
        file_name=results.source.file_name,
        version=__version__,
        policy=_policy(script, library),
        css=Markup(_text("report.css")),
        script=Markup(script),
        library=library.name,
        data=[(name, Markup(json)) for name, json in _data(results, keys, library, live)],
        notes=results.notes(),
        newest=newest_result(results.records),
        contents=list(_contents([table.name for table in tables], shown, figures, trouble)),
        tables=tables,
        axes=[label(axis) for axis in results.axes],
        published=shown,
        published_table=_labelled(shown.table) if shown else None,
        figures=figures,
        trouble=trouble,
        key=lambda number: quote(keys[number], safe=""),
        recipe=list(facts.recipe(results)),
        varied=list(facts.varied(results)),
        repeat=repeat_study(results),
        same=[(key, facts.plain(value)) for key, value in same.items()],
        different=[(key, facts.some(found)) for key, found in different.items()],
        text=text,
        mark=mark,
        wordy=_wordy,
        title_of=_title,
        data_url=_data_url,
    )


def _data(
    results: Results, keys: Sequence[str], library: plotting.Library, live: Live | None
) -> Iterator[tuple[str, str]]:
    """The JSON elements of the page by id."""
    records = results.records
    count = len(results.points)
    colors = count if count <= _MOST_COLORS else _FEW_COLORS
    looks = {"colors": palette(colors), "dark": palette(colors, dark=True), "ink": INK}
    yield (
        "data-page",
        pack.in_script(
            {
                "name": results.source.name,
                "live": live._asdict() if live else None,
                "runs": {
                    "ids": [run.run_id for run in records],
                    "keys": keys,
                    "states": [run.state.value for run in records],
                    "outcomes": [run.outcome for run in records],
                    "seeds": [run.seed for run in records],
                    "points": [facts.point_of(run, results.axes) for run in records],
                },
            }
        ),
    )
    yield "data-grid", pack.in_script(pack.document(runs_grid(results)))
    yield "data-curves", pack.in_script({**curves(results), **looks})
    yield "data-views", pack.in_script(run_views(results))
    yield "data-plotting", pack.in_script(library.packed)


def run_keys(results: Results) -> list[str]:
    """What each run is called in addresses: its id, numbered where a script gave several runs the same."""
    seen: Counter[str] = Counter()
    keys = []
    for run in results.records:
        seen[run.run_id] += 1
        keys.append(run.run_id if seen[run.run_id] == 1 else f"{run.run_id}~{seen[run.run_id]}")
    return keys


def _labelled(table: Table) -> Table:
    """The table with names of columns for people."""
    rows = [{label(name): value for name, value in row.items()} for row in table.rows]
    return Table(tuple(map(label, table.columns)), rows)


def _contents(
    tables: Sequence[str], shown: Any, figures: Sequence[Any], trouble: Sequence[Any]
) -> Iterator[tuple[str, str]]:
    yield from ((name, _title(name)) for name in tables)
    if shown:
        yield "published", "Published"
    yield "curves", "Curves"
    if figures:
        yield "figures", "Figures"
    if trouble:
        yield "trouble", "Diverged, failed"
    yield "runs", "Runs"
    yield "setup", "What was run"
    yield "repeat", "How to repeat this"


def _title(name: str) -> str:
    return _TITLES.get(name, name.replace("_", " ").capitalize())


def _wordy(table: Table) -> set[str]:
    """The columns of texts, which stand to the left; numbers (`97.1 ± 0.2 (3)`) stand to the right."""
    return {
        name
        for name in table.columns
        if any(
            isinstance(row.get(name), str) and row[name][:1].isalpha() and not mark(row[name])
            for row in table.rows
        )
    }


def _policy(script: str, library: plotting.Library) -> str:
    """The page's own two scripts and nothing else may run; nothing is loaded from anywhere."""
    scripts = f"{plotting.digest(script)} {library.digest}"
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _script() -> str:
    return "\n".join(_text(name) for name in _SCRIPTS)


def _text(name: str) -> str:
    return files("horovod_lb.analysis.report").joinpath(name).read_text(encoding="utf-8")


def _data_url(content: str, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content.encode()).decode()}"
