"""`regimes.csv` and `targets.csv`, and the same for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.present import Presented
from horovod_lb.analysis.published import published
from horovod_lb.analysis.regimes.criterion import in_words
from horovod_lb.analysis.regimes.survey import Survey, batch_sizes, survey
from horovod_lb.analysis.regimes.targets import QUANTITIES, targets_table
from horovod_lb.analysis.regimes.words import boundary_sentence, critical_sentences, number
from horovod_lb.analysis.table import Table
from horovod_lb.analysis.wide import label, named

if TYPE_CHECKING:
    from horovod_lb.analysis.results import Results

RECORDS = ("imagenet", "resnet50")
"""The data set and the model of the published speed records."""


def survey_of(results: Results) -> Survey | None:
    """The survey of a study of several batch sizes, or with a target; None for others, to keep them plain."""
    if len(batch_sizes(results)) < 2 and not results.source.target:
        return None
    return survey(results)


def tables(found: Survey) -> dict[str, Table]:
    """The CSV tables by file name without suffix."""
    targets = {"targets": targets_table(found.results, found.target)} if found.target else {}
    several = len(batch_sizes(found.results)) > 1
    return {**({"regimes": found.table()} if several else {}), **targets}


def presented(found: Survey) -> list[Presented]:
    """The tables for people."""
    several = len(batch_sizes(found.results)) > 1
    return [*([regimes(found)] if several else []), *([targets(found)] if found.target else [])]


def regimes(found: Survey) -> Presented:
    """A row a batch size: whether linear scaling and the best technique hold, and what the target takes."""
    rows = [
        {
            "batch size": row["batch_size"],
            "linear scaling": _verdict(row, "linear"),
            "best tried": _verdict(row, "best"),
            "epochs": _count(row.get("epochs_to_target")),
            "steps": _count(row.get("steps_to_target")),
            "time": duration(row.get("seconds_to_target")),
            "noise scale": _count(row.get("noise_scale")),
        }
        for row in found.table().rows
    ]
    names = ("batch size", "linear scaling", "best tried", "epochs", "steps", "time", "noise scale")
    columns = tuple(name for name in names if any(row[name] != "" for row in rows))
    boundaries = [
        boundary_sentence(one) for one in (found.large, found.huge) if one is not None and one.judged
    ]
    if found.critical is not None:
        boundaries += critical_sentences(found)
    goal = found.target
    target = f" Epochs, steps and time to {goal.for_people()}: medians over seeds." if goal else ""
    caption = f"Whether a batch size keeps 99.5 % of the baseline's accuracy.{target} {' '.join(boundaries)}"
    return Presented("regimes", caption.strip(), Table(columns, rows))


def targets(found: Survey) -> Presented:
    """A row a point; for ResNet-50 on ImageNet the published speed records below."""
    results, table = found.results, targets_table(found.results, found.target)
    rows = []
    for row in table.rows:
        ended = row["n_reached"] + row["n_not_reached"]
        shown = {label(axis): named(row[axis]) for axis in results.axes}
        shown["reached"] = f"{row['n_reached']} of {ended}" if ended else "missing"
        rows.append(shown | {quantity: _median(row, quantity) for quantity in QUANTITIES[:2]})
        rows[-1]["time"] = duration(row["seconds_median"])
    columns = [*map(label, results.axes), "reached", "epochs", "steps", "time"]
    note = "Medians, runs that never reach it counted as later than all others."
    if _has_records(results):
        columns.append("source")
        rows += _records(label(_batch_axis(results)))
        note += " Below: published speed records, to the accuracy in brackets."
    return Presented(
        "targets",
        f"To {found.target.for_people() if found.target else 'no target'}. {note}",
        Table(tuple(columns), rows),
    )


def duration(seconds: Any) -> str:
    """`2 h 05 min`, `3 min 20 s`, `67.1 s`; "" where it is not known."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds:.3g} s"
    if seconds < 3600:
        whole = round(seconds)
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def _verdict(row: Mapping[str, Any], part: str) -> str:
    if row["baseline"]:
        return "baseline"
    if row.get(f"{part}_holds") is None:
        return ""
    verb = "holds" if row[f"{part}_holds"] else "does not hold"
    return f"{100 * row[f'{part}_accuracy']:.2f} %: {verb}, {in_words(row[f'{part}_confidence'])}"


def _count(value: float | None) -> str:
    return "" if value is None else number(value)


def _median(row: Mapping[str, Any], quantity: str) -> str:
    return _count(row[f"{quantity}_median"])


def _batch_axis(results: Results) -> str:
    return next((axis for axis in results.axes if axis.endswith("batch_size")), "batch_size")


def _has_records(results: Results) -> bool:
    specs = (record.spec for record in results.records if record.spec)
    names = {tuple((spec.get(part) or {}).get("name") for part in ("data", "model")) for spec in specs}
    return names == {RECORDS}


def _records(batch_size: str) -> list[dict[str, Any]]:
    records = published("speed-records")
    return [
        {
            batch_size: row["batch_size"],
            "epochs": _count(row["epochs"]),
            "time": duration(row["wall_seconds"]),
            "source": f"{row['team']} {row['date'][:4]} ({100 * row['final_val_accuracy']:.1f} %)",
        }
        for row in (records.rows if records else ())
        if row["date"]
    ]
