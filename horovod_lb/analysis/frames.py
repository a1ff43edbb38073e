"""Results from tables instead of run folders: DataFrames, or the CSV files that a collect has written.

Everything that `Results` offers works on them. What only a run folder holds (log, checkpoints, provenance of
each life) is not there.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from horovod_lb.analysis.parquet import TEXT
from horovod_lb.analysis.points import distinguishing
from horovod_lb.analysis.record import Record, judged
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.rows import Rows
from horovod_lb.analysis.runs import LAST, RECIPE_COLUMNS, RUN_COLUMNS, in_order
from horovod_lb.analysis.source import Source
from horovod_lb.errors import RequestError
from horovod_lb.runs import State
from horovod_lb.runs.atomic import read_json

if TYPE_CHECKING:
    import pandas as pd

Row: TypeAlias = dict[str, Any]

BATCH_COLUMNS = ("batch_size", "recipe.batch_size")
_SETTINGS = ("model", "dataset", "optimizer", "sam", *RECIPE_COLUMNS)
# Columns of runs.csv that stand in the exit record of a run folder, by their names there.
_EXIT = {
    "final_test_loss": "test_loss",
    "final_test_accuracy": "test_accuracy",
    **{name: name for name in ("images_per_second", "compute_seconds", "allreduce_seconds", "input_wait")},
}


def results_from_frames(
    runs: pd.DataFrame,
    epochs: pd.DataFrame | None = None,
    steps: pd.DataFrame | None = None,
    *,
    axes: Sequence[str] | None = None,
    name: str = "runs",
    baseline: Mapping[str, Any] | None = None,
    tuned: Sequence[str] | None = None,
    target: Mapping[str, float] | None = None,
    figures: Sequence[str] = (),
    published: str | None = None,
) -> Results:
    """The results of runs that stand in DataFrames, with the columns of docs/tables.md.

    `runs` has a row a run: `run_id` and `batch_size` (or `recipe.batch_size`) must be there, everything else
    may; a run whose `state` is not said has trained to its end (`completed`, or `diverged` where its last
    loss is not finite). `epochs` has a row an epoch (`run_id`, `epoch`), `steps` a row a step (`run_id`,
    `step`); without `epochs` the last and the best epoch are taken from the columns `final_*` and `best_*`.

    `axes` are the columns that make the points; by default the columns with a dot (`recipe.warmup.epochs`),
    and where there is none, those that tell runs apart, the batch size first. The others are as in a study.
    A NaN is an empty cell; in `train_loss` it is a loss that was not finite. Raises `RequestError`.
    """
    rows = _of_frame(runs)
    source = Source(
        name,
        (),
        (),
        baseline=dict(baseline or {}),
        tuned=None if tuned is None else tuple(tuned),
        figures=tuple(figures),
        published=published,
        target=dict(target or {}),
    )
    by_epoch = None if epochs is None else _of_frame(epochs)
    by_step = None if steps is None else _of_frame(steps)
    return _results(source, _Runs(list(map(str, runs.columns)), rows), by_epoch, by_step, axes)


def results_from_tables(folder: Path | str) -> Results:
    """The results that `hlb collect` has written into `folder`, read back from its CSV files.

    They are the same to the ten digits that a cell has. Raises `RequestError` where `folder` holds no
    `runs.csv` or a table cannot be understood.
    """
    folder = Path(folder)
    if not (folder / "runs.csv").is_file():
        raise RequestError(f"{folder} holds no runs.csv; `hlb collect` writes one, into results/<study>")
    header, rows = _of_csv(folder / "runs.csv")
    by_epoch = _of_csv(folder / "epochs.csv")[1] if (folder / "epochs.csv").is_file() else None
    by_step = _of_csv(folder / "steps.csv")[1] if (folder / "steps.csv").is_file() else None
    study = (read_json(folder / "provenance.json") or {}).get("study") or {}
    tuned = study.get("tuned")
    names = {row["study"] for row in rows if row.get("study")}
    source = Source(
        str(study.get("name") or (names.pop() if len(names) == 1 else folder.resolve().name)),
        (),
        (),
        baseline=study.get("baseline") or {},
        tuned=None if tuned is None else tuple(tuned),
        figures=tuple(study.get("figures") or ()),
        published=study.get("published"),
        target=study.get("target") or {},
    )
    return _results(source, _Runs(header, rows), by_epoch, by_step, _axes_of_csv(folder, header))


class _Runs(NamedTuple):
    """The table of runs: its column names and rows."""

    names: Sequence[str]
    rows: Sequence[Row]


def _results(
    source: Source,
    runs: _Runs,
    by_epoch: Sequence[Row] | None,
    by_step: Sequence[Row] | None,
    axes: Sequence[str] | None,
) -> Results:
    if not runs.rows:
        raise RequestError("the table of runs has no rows")
    _require("runs", runs.names, "run_id")
    if not any(name in runs.names for name in BATCH_COLUMNS):
        raise RequestError(
            f"the table of runs has no column batch_size (nor {BATCH_COLUMNS[1]}); it has {_list(runs.names)}"
        )
    if axes is None:
        axes = _guess_axes(runs, measured={name for row in (by_epoch or ())[:1] for name in row})
    for axis in axes:
        _require("runs", runs.names, axis, "of the axes")
    epochs = _grouped("epochs", by_epoch, "epoch")
    steps = _grouped("steps", by_step, "step")
    records: dict[str, Record] = {}
    for number, row in enumerate(runs.rows, 1):
        if row["run_id"] is None:
            raise RequestError(f"row {number} of the table of runs has no run_id")
        run_id = str(row["run_id"])
        if run_id in records:
            raise RequestError(f"run_id {run_id} stands in two rows of the table of runs")
        found = epochs.pop(run_id, ()) if by_epoch is not None else _first_and_last(row)
        records[run_id] = _record(row, axes, found, steps.pop(run_id, ()))
    for table, left in (("epochs", epochs), ("steps", steps)):
        if left:
            raise RequestError(f"the table of {table} has rows of {_list(left)}, which no row of runs is of")
    named = tuple(axes)
    ordered = tuple(in_order(records.values(), named))
    return Results(replace(source, records=ordered), named, ordered)


def _record(row: Row, axes: Sequence[str], epochs: Sequence[Row], steps: Sequence[Row]) -> Record:
    run_id = str(row["run_id"])
    spec: Row = {
        "run_id": run_id,
        "study": row.get("study") or "",
        "seed": row.get("seed"),
        "point": {axis: row.get(axis) for axis in axes},
        "derived": {name: row[name] for name in RECIPE_COLUMNS if row.get(name) is not None},
        "model": {"name": row.get("model")},
        "data": {"name": row.get("dataset")},
        "recipe": {"optimizer": {"kind": row.get("optimizer")}, "sam": {"rho": row.get("sam")}},
    }
    if row.get("batch_size") is None and row.get("recipe.batch_size") is not None:
        spec["derived"]["batch_size"] = row["recipe.batch_size"]
    said = row.get("state")
    try:
        state = State(said) if said else State.COMPLETED
    except ValueError as error:
        raise RequestError(f"run {run_id}: state {said!r} is none of {_list(State)}") from error
    record = Record(
        run_id=run_id,
        spec=spec,
        state=state,
        reason=row.get("reason"),
        outcome=row.get("outcome"),
        exit={name: row[column] for column, name in _EXIT.items() if row.get(column) is not None},
        epochs=Rows.of(epochs),
        steps=Rows.of(steps),
        wall_seconds=row.get("wall_seconds"),
        said={name: row[name] for name in RUN_COLUMNS if row.get(name) is not None},
        code=row.get("code"),
    )
    if state is State.UNKNOWN and all(row.get(axis) is None for axis in axes):
        return replace(record, spec={})  # its run.json was damaged: it belongs to no point
    return record if said and record.outcome else judged(record)


def _first_and_last(row: Row) -> list[Row]:
    """The epochs that a row of runs speaks of: the best one and the last."""
    last = {name: row[column] for column, name in LAST.items() if row.get(column) is not None}
    best, at = row.get("best_val_accuracy"), row.get("best_epoch")
    end = row.get("epochs") or at or 1
    rows = []
    if best is not None and at is not None and at < end:
        rows.append({"epoch": int(at), "val_accuracy": best})
    if last or (best is not None and not rows):
        rows.append({"epoch": int(end), "val_accuracy": best, **last})
    return rows


def _grouped(table: str, rows: Sequence[Row] | None, key: str) -> dict[str, list[Row]]:
    """The rows by run, rising, without their run_id; a row is an epoch (or a step) of its run."""
    groups: dict[str, list[Row]] = {}
    if not rows:
        return groups
    for name in ("run_id", key):
        _require(table, list(rows[0]), name)
    for number, row in enumerate(rows, 1):
        at = row.get(key)
        if not isinstance(at, int | float) or at != at // 1:
            raise RequestError(f"row {number} of {table}: {key} is {at!r}, not a whole number")
        own = {name: value for name, value in row.items() if name != "run_id"}
        groups.setdefault(str(row["run_id"]), []).append({**own, key: int(at)})
    for run_id, found in groups.items():
        found.sort(key=lambda row: row[key])
        twice = [one[key] for one, two in pairwise(found) if one[key] == two[key]]
        if twice:
            raise RequestError(f"{table}: run {run_id} has {key} {twice[0]} twice")
    return groups


def _guess_axes(runs: _Runs, measured: set[str]) -> list[str]:
    others = [name for name in runs.names if name not in RUN_COLUMNS and name not in measured]
    dotted = [name for name in others if "." in name]
    if dotted:
        return dotted
    names = ("batch_size", *others, *(name for name in _SETTINGS if name in runs.names))
    return list(distinguishing(runs.rows, dict.fromkeys(names)))


def _axes_of_csv(folder: Path, header: Sequence[str]) -> list[str] | None:
    """The axes are what stands before `n` in accuracy.csv."""
    path = folder / "accuracy.csv"
    columns = next(csv.reader(path.read_text().splitlines()), []) if path.is_file() else []
    return columns[: columns.index("n")] if "n" in columns else None


def _of_frame(frame: pd.DataFrame) -> list[Row]:
    """The rows with Python's values; NaN is None, but in `train_loss` of a run that has recorded one."""
    names = list(map(str, frame.columns))
    columns = []
    for place, name in enumerate(names):
        series = frame.iloc[:, place].astype(object)
        columns.append(series.where(series.notna(), math.nan if name == "train_loss" else None).tolist())
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    if "train_loss" in names:
        recorded = {row.get("run_id") for row in rows if row["train_loss"] == row["train_loss"]}
        for row in rows:
            if row.get("run_id") not in recorded:
                row["train_loss"] = None
    return rows


def _of_csv(path: Path) -> tuple[list[str], list[Row]]:
    """Header and rows of a table as `Table.to_csv` writes it."""
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        rows = []
        for cells in lines:
            if len(cells) != len(header):
                if not cells:
                    continue
                raise RequestError(
                    f"{path}, line {lines.line_num}: {len(cells)} cells under {len(header)} columns"
                )
            rows.append({name: _value(name, cell) for name, cell in zip(header, cells, strict=True)})
    return header, rows


def _value(column: str, cell: str) -> Any:
    """The value that `table.cell` wrote."""
    if cell == "":
        return None
    if column in TEXT:
        return cell
    for read in (int, float):
        try:
            return read(cell)
        except ValueError:
            continue
    if cell in ("true", "false"):
        return cell == "true"
    if cell[0] in "[{":
        try:
            return json.loads(cell)
        except ValueError:
            return cell
    return cell


def _require(table: str, columns: Sequence[str], name: str, what: str = "") -> None:
    if name not in columns:
        raise RequestError(
            f"the table of {table} has no column {name}{f' {what}' if what else ''}; it has {_list(columns)}"
        )


def _list(names: Iterable[Any]) -> str:
    shown = list(map(str, names))
    return ", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if len(shown) > 20 else "")
