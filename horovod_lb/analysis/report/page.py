"""The report: one HTML file with tables, figures, what went wrong and where the results come from; works
offline.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from horovod_lb.analysis.figures import draw
from horovod_lb.analysis.figures.lines import name as name_of
from horovod_lb.analysis.figures.lines import values_of
from horovod_lb.analysis.figures.style import inline_svg, lay_out, save
from horovod_lb.analysis.present import mark
from horovod_lb.analysis.provenance import compare, newest_result
from horovod_lb.analysis.record import Record
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.table import cell, text
from horovod_lb.analysis.wide import label
from horovod_lb.runs import State
from horovod_lb.runs.atomic import write_text

# What a reader asks of a study, in this order.
_SUMMARY = (
    "job.name", "model", "data", "resources.workers", "recipe.epochs", "recipe.budget", "recipe.batch_size",
    "recipe.groups", "recipe.remainder", "recipe.reference", "recipe.scaling", "recipe.warmup",
    "recipe.schedule", "recipe.optimizer", "recipe.weight_decay", "recipe.label_smoothing",
    "recipe.clip_global_norm", "recipe.precision", "recipe.communication",
)  # fmt: skip
_TROUBLE = (State.DIVERGED, State.FAILED, State.LOST, State.CANCELLED, State.UNKNOWN)


def write_report(results: Results, out: Path) -> Path:
    """Writes `report.html` and `figures/*.png|pdf|svg` into `out`, and returns the report's path.

    The tables are `Results.write`'s. Everything that comes from run folders is escaped.
    """
    (out / "figures").mkdir(parents=True, exist_ok=True)
    figures = []
    for drawn in draw(results, results.source.figures):
        lay_out(drawn.figure)
        save(drawn.figure, out / "figures" / drawn.name)
        figures.append((drawn.name, drawn.caption, inline_svg(drawn.figure, drawn.name, drawn.colors)))
    path = out / "report.html"
    write_text(path, render(results, figures))
    return path


def render(results: Results, figures: Sequence[tuple[str, str, str]]) -> str:
    """The page; `figures` are names, captions and SVG elements."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("horovod_lb.analysis.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    css = environment.loader.get_source(environment, "report.css")[0] if environment.loader else ""
    same, different = compare(results.records)
    tables = {table.name: table for table in results.presented()}
    return environment.get_template("report.html").render(
        name=results.source.name,
        css=Markup(css),
        notes=results.notes(),
        newest=newest_result(results.records),
        recipe=list(_recipe(results)),
        varied=[(label(axis), ", ".join(map(name_of, values_of(results, axis)))) for axis in results.axes],
        accuracy=tables["accuracy"],
        others=[tables[name] for name in ("best", "differences") if name in tables],
        figures=[(name, caption, Markup(svg)) for name, caption, svg in figures],
        trouble=[
            run for run in results.records if run.state in _TROUBLE or run.outcome in ("chance", "unstable")
        ],
        point=lambda run: _point(run, results.axes),
        same=[(key, _plain(value)) for key, value in same.items()],
        different=[(key, _some(found)) for key, found in different.items()],
        text=text,
        mark=mark,
    )


def _recipe(results: Results) -> Iterator[tuple[str, str]]:
    """The settings that all runs have in common."""
    records = [record for record in results.records if record.spec]
    for key in _SUMMARY if records else ():
        value = _common([record.value(key) for record in records])
        if isinstance(value, Mapping):
            value = ", ".join(
                _plain(item) if name in ("name", "kind") else f"{label(name)} {_plain(item)}"
                for name, item in value.items()
                if name != "root" and item not in (None, [], {})
            )
        if value not in (None, ""):
            yield label(key.removesuffix(".name")), _plain(value)


def _plain(value: Any) -> str:
    """A setting for people; a list of words is a command line."""
    if not isinstance(value, list):
        return cell(value)
    if value and all(isinstance(item, str) for item in value):
        return shlex.join(value)
    return f"[{', '.join(map(cell, value))}]"


def _common(values: Sequence[Any]) -> Any:
    """The value that all have; of mappings the entries that all have; None for nothing in common."""
    first = values[0]
    if all(value == first for value in values):
        return first
    if all(isinstance(value, Mapping) for value in values):
        return {key: item for key, item in first.items() if all(value.get(key) == item for value in values)}
    return None


def _point(run: Record, axes: Sequence[str]) -> str:
    parts = [f"{label(axis)} = {name_of(run.value(axis))}" for axis in axes]
    return ", ".join([*parts, f"seed {run.seed}"] if run.seed is not None else parts)


def _some(found: Mapping[str, Any]) -> str:
    shown = ", ".join(map(_plain, found["values"]))
    return (
        shown if found["distinct"] == len(found["values"]) else f"{shown}, ... ({found['distinct']} values)"
    )
