"""`target`: the value of a column of `epochs.csv` that counts as reached."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from horovod_lb.study.nearest import nearest
from horovod_lb.study.section import refuse

COLUMNS = ("val_accuracy", "val_top5", "val_loss", "train_accuracy", "train_loss")


def _checked(target: dict[str, float]) -> dict[str, float]:
    if len(target) > 1:
        raise refuse(f"one column is needed; allowed: {', '.join(COLUMNS)}")
    for column, value in target.items():
        if column not in COLUMNS:
            meant = nearest(column, COLUMNS)
            hint = f"; did you mean {meant}?" if meant else ""
            raise refuse(f"columns that have a target: {', '.join(COLUMNS)}{hint}")
        if column.endswith("loss"):
            if not 0 < value < float("inf"):
                raise refuse("a loss > 0 is needed")
        elif not 0 < value <= 1:
            raise refuse("a fraction in (0, 1] is needed; 75.3 % is 0.753")
    return target


Target = Annotated[dict[str, float], AfterValidator(_checked)]
