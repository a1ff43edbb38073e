"""Folders of runs that several tests read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_runs import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    path = tmp_path / "runs" / "made"
    path.mkdir(parents=True)
    return Folder(path)


@pytest.fixture
def batch_by_warmup(folder: Folder) -> Folder:
    """Two batch sizes, two warmups, three seeds; at 1024 without warmup two runs diverge, one run failed."""

    def point(batch: int, warmup: int) -> dict[str, Any]:
        return {"recipe.batch_size": batch, "recipe.warmup.epochs": warmup}

    for seed, value in enumerate((0.90, 0.92, 0.94)):
        folder.run(f"a{seed}", point(256, 0), seed, [0.5, value], exit={"test_accuracy": value - 0.01})
    for seed, value in enumerate((0.95, 0.95, 0.98)):
        folder.run(f"b{seed}", point(256, 5), seed, [0.5, value], exit={"test_accuracy": value - 0.02})
    folder.run("c0", point(1024, 0), 0, [0.6, 0.99])
    for seed in (1, 2):
        reason = {"reason": "loss is nan at step 17", "outcome": "nan"}
        folder.run(
            f"c{seed}", point(1024, 0), seed, [0.4, 0.1], state="diverged", losses=[2.0, "nan"], exit=reason
        )
    folder.run("d0", point(1024, 5), 0, [0.5, 0.80])
    folder.run("d1", point(1024, 5), 1, [0.5, 0.90])
    folder.run("d2", point(1024, 5), 2, [0.5], state="failed", exit={"error": "MemoryError: too little"})
    return folder
