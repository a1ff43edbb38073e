"""`runs.csv`, a row a run, `epochs.csv`, a row an epoch, and `steps.csv`, a row a step."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from horovod_lb.analysis.long import LongTable, RunRows
from horovod_lb.analysis.record import Record, dotted
from horovod_lb.analysis.rows import is_number
from horovod_lb.analysis.table import Table, sort_key
from horovod_lb.runs import State
from horovod_lb.runs.metrics import COLUMNS as METRICS

# What the recipe derives, in this order, between the machine's columns and the results.
RECIPE_COLUMNS = (
    "batch_size", "groups", "workers", "batch_per_group", "scaling", "warmup_kind", "warmup_epochs",
    "warmup_steps", "learning_rate_start", "learning_rate_peak", "schedule", "epochs", "steps",
)  # fmt: skip
RUN_COLUMNS = (
    "run_id", "study", "seed", "state", "outcome", "reason", "machine", "nodes", "gpus", "model", "dataset",
    "optimizer", "sam", *RECIPE_COLUMNS,
    "final_train_loss", "final_train_accuracy", "final_val_loss", "final_val_accuracy", "final_val_top5",
    "final5_val_accuracy", "best_val_accuracy", "best_epoch", "final_test_loss", "final_test_accuracy",
    "images_per_second", "compute_seconds", "allreduce_seconds", "scaling_ratio", "input_wait",
    "wall_seconds", "node_hours", "segments", "git_sha", "code",
)  # fmt: skip
EPOCH_COLUMNS = ("run_id", *METRICS)
LAST = {
    "final_train_loss": "train_loss",
    "final_train_accuracy": "train_accuracy",
    "final_val_loss": "val_loss",
    "final_val_accuracy": "val_accuracy",
    "final_val_top5": "val_top5",
}


def in_order(records: Iterable[Record], axes: Sequence[str]) -> list[Record]:
    """The runs by study, point, seed and id."""
    return sorted(
        records,
        key=lambda run: sort_key([run.study, *(run.value(axis) for axis in axes), run.seed, run.run_id]),
    )


def measurements(records: Iterable[Record]) -> tuple[str, ...]:
    """The epoch columns beyond the usual ones, by letter."""
    names = {name for record in records for name in record.epochs.columns}
    return tuple(sorted(names - set(METRICS)))


def runs_table(records: Sequence[Record], axes: Sequence[str]) -> Table:
    """`runs.csv`: the fixed columns, then each axis, then each measurement at its last value."""
    named = dict.fromkeys([*RUN_COLUMNS, *axes, *LAST.values()])
    measured = [name for name in measurements(records) if name not in named]
    columns = tuple(dict.fromkeys([*RUN_COLUMNS, *axes, *measured]))
    return Table(columns, [_run_row(record, axes, measured) for record in records])


def epochs_table(records: Sequence[Record]) -> LongTable:
    """`epochs.csv`: every row that the runs have written, also those of runs that are not finished."""
    return LongTable(
        (*EPOCH_COLUMNS, *measurements(records)), RunRows([(run.run_id, run.epochs) for run in records])
    )


def steps_table(records: Sequence[Record]) -> LongTable:
    """`steps.csv`: what measurements kept of single steps (`by_step`)."""
    names = {name for record in records for name in record.steps.columns}
    columns = ("run_id", "step", *sorted(names - {"step"}))
    return LongTable(columns, RunRows([(run.run_id, run.steps) for run in records]))


def _run_row(record: Record, axes: Sequence[str], measured: Sequence[str]) -> dict[str, Any]:
    spec, outcome = record.spec, record.exit
    said: dict[str, Any] = {**(spec.get("derived") or {}), **_where(record.provenance), **outcome}
    row: dict[str, Any] = {name: said.get(name) for name in RUN_COLUMNS}
    row |= {axis: record.value(axis) for axis in axes if axis not in RUN_COLUMNS}
    for column, name in (
        ("model", "model.name"),
        ("dataset", "data.set" if dotted(spec, "data.name") == "idx" else "data.name"),
        ("optimizer", "recipe.optimizer.kind"),
        ("sam", "recipe.sam.rho"),
    ):
        row[column] = _first(dotted(spec, name), row[column])
    row |= {
        "run_id": record.run_id,
        "study": record.study,
        "seed": record.seed,
        "state": record.state.value,
        "outcome": record.outcome,
        "reason": record.reason,
        "final_test_loss": outcome.get("test_loss"),
        "final_test_accuracy": outcome.get("test_accuracy"),
        "images_per_second": _first(
            outcome.get("images_per_second"), _median(record.measured("images_per_second"))
        ),
        "scaling_ratio": _ratio(row["compute_seconds"], row["allreduce_seconds"]),
        "wall_seconds": record.wall_seconds,
        "segments": len(record.lives) or None,
        "code": record.code,
    }
    if is_number(row["nodes"]) and record.wall_seconds is not None:
        row["node_hours"] = row["nodes"] * record.wall_seconds / 3600
    return {**row, **_results(record, measured), **record.said}


def _results(record: Record, measured: Sequence[str]) -> dict[str, Any]:
    """`best_*` of the epochs there are; `final*` and the measurements only of a run that trained to its
    end.
    """
    best = record.best()
    row: dict[str, Any] = dict(zip(("best_val_accuracy", "best_epoch"), best or (None, None), strict=True))
    if record.state is State.COMPLETED:
        row |= {column: record.last(name) for column, name in LAST.items()}
        row["final5_val_accuracy"] = _median(list(record.measured("val_accuracy"))[-5:])
        row |= {name: record.last(name) for name in measured}
    return row


def _where(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The machine's columns from what a life wrote of itself: its host, ranks, GPUs and source code."""
    ranks, on_host = provenance.get("ranks"), provenance.get("ranks_on_host")
    source = provenance.get("source") or {}
    found: dict[str, Any] = {"machine": provenance.get("host")}
    if is_number(ranks) and is_number(on_host) and on_host > 0:
        found["nodes"] = -(-ranks // on_host)
        found["gpus"] = ranks if provenance.get("gpu") else 0
    if isinstance(source, Mapping) and source.get("commit"):
        found["git_sha"] = str(source["commit"]) + ("-dirty" if source.get("dirty") else "")
    return {**found, **provenance}


def _median(values: Iterable[float]) -> float | None:
    found = [value for value in values if is_number(value)]
    return statistics.median(found) if found else None


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _ratio(compute: Any, allreduce: Any) -> float | None:
    return compute / allreduce if is_number(compute) and is_number(allreduce) and allreduce else None
