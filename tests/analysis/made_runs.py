"""Run folders written by hand, file by file, as docs/architecture.md states them.

No writer of the project is used: the tables are checked against the contract, not against themselves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

METRICS = "epoch,step,learning_rate,train_loss,train_accuracy,val_loss,val_accuracy,images_per_second,seconds"


class Folder:
    """A study's folder in which `run` lays run folders."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(
        self,
        run_id: str,
        point: dict[str, Any] | None = None,
        seed: int | None = 0,
        accuracies: Sequence[float | None] = (),
        *,
        state: str | None = "completed",
        exit: dict[str, Any] | None = None,
        losses: Sequence[Any] | None = None,
        rows: Sequence[str] | None = None,
        header: str = METRICS,
        provenance: dict[str, Any] | None = None,
        **spec: Any,
    ) -> Path:
        """A run with one epoch for each of `accuracies`; `state` None leaves no exit record and no life."""
        folder = self.path / run_id
        folder.mkdir(parents=True)
        content = {
            "schema": 1,
            "run_id": run_id,
            "study": "made",
            "point": point or {},
            "seed": seed,
            "model": {"name": "lenet"},
            "data": {"name": "mnist", "holdout": 5000},
            "recipe": {"optimizer": {"kind": "momentum"}, "batch_size": 256},
            "derived": {"batch_size": 256},
            **spec,
        }
        (folder / "run.json").write_text(json.dumps(content))
        if rows is None:
            losses = losses or [0.5] * len(accuracies)
            rows = [
                f"{epoch},{10 * epoch},0.1,{loss},0.75,{loss},{'' if value is None else value},1000.0,2.0"
                for epoch, (value, loss) in enumerate(zip(accuracies, losses, strict=True), 1)
            ]
        if rows:
            (folder / "metrics.csv").write_text("\n".join([header, *rows]) + "\n")
        if state is not None:
            life = folder / "segments" / "1"
            life.mkdir(parents=True)
            (life / "provenance.json").write_text(json.dumps(provenance or {}))
            record = {
                "state": state,
                "outcome": None,
                "reason": None,
                "life": 1,
                "time": 1.7e9,
                **(exit or {}),
            }
            (folder / "exit.json").write_text(json.dumps(record))
        return folder
