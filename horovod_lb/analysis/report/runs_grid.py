"""The table of runs as the page carries it: by column, the main ones first, without empty columns."""

from __future__ import annotations

from collections import Counter
from typing import Any

from horovod_lb.analysis.report.redact import redact
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.table import cell

# What a reader looks at first; the axes are added, the other columns are shown on request.
_MAIN = (
    "run_id", "seed", "state", "outcome", "final_val_accuracy", "best_val_accuracy", "final_val_top5",
    "final_test_accuracy", "final_train_loss", "learning_rate_peak", "images_per_second", "wall_seconds",
    "code", "reason",
)  # fmt: skip
_FILTERS = ("state", "outcome", "seed", "code", "machine", "study")
_MOST_CHOICES = 40


def runs_grid(results: Results) -> dict[str, Any]:
    """`columns` with `name`, whether it is a `main` one, whether its values are choices of a `filter` and
    whether they are `words`, and `cells`, a list a column. Floats have five significant digits, NaN and
    infinity are texts.
    """
    table = results.tables["runs"]
    columns, cells = [], []
    main = dict.fromkeys([*_MAIN[:2], *results.axes, *_MAIN[2:]])
    for name in [
        *(name for name in main if name in table.columns),
        *(name for name in table.columns if name not in main),
    ]:
        values = [_value(row.get(name)) for row in table.rows]
        found = Counter(value for value in values if value is not None)
        if not found and name not in ("run_id", "state"):
            continue
        choosable = name in _FILTERS or name in results.axes
        columns.append(
            {
                "name": name,
                "main": name in main,
                "filter": choosable and 1 < len({*values}) <= _MOST_CHOICES,
                "words": any(isinstance(value, str) for value in found),
            }
        )
        cells.append(values)
    return {"columns": columns, "cells": cells}


def _value(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        return redact(cell(value))
    return float(format(value, ".5g")) if isinstance(value, float) else value
